"""When a message is retried."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.outbox.delivery import EXPIRY_MARGIN, next_attempt

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 86400


def after(seconds):
    """Return a moment so long after NOW."""
    return NOW + timedelta(seconds=seconds)


def tries(life=None):
    """Return at which seconds of its life a message is tried that always fails."""
    found = [0.0]
    while due := next_attempt(
        len(found), after(found[-1]), written_at=NOW, expires_at=None if life is None else after(life)
    ):
        found.append((due - NOW).total_seconds())
    return found


def test_first_retries_come_quickly():
    assert tries()[:5] == [0, 1, 6, 21, 51]


@pytest.mark.parametrize("greylisted", [60, 120, 300, 400, 500])
def test_greylisted_code_is_retried_soon_after_the_server_accepts(greylisted):
    arrives = next(at for at in tries(600) if at >= greylisted)
    assert arrives - greylisted < 75


def test_code_is_retried_until_shortly_before_expiry():
    found = tries(600)
    assert 600 - 15 < found[-1] <= 600 - EXPIRY_MARGIN.total_seconds()
    assert len(found) < 30


def test_notice_is_retried_for_a_day_with_a_bounded_number_of_attempts():
    found = tries()
    assert DAY - 3600 < found[-1] <= DAY
    assert len(found) < 60


def test_notice_outlives_an_outage_of_an_hour():
    assert any(3600 <= at < 4600 for at in tries())


@pytest.mark.parametrize(("attempts", "wait"), [(1, 5), (2, None)])
def test_costly_message_is_retried_once(attempts, wait):
    due = next_attempt(attempts, NOW, written_at=NOW, expires_at=after(300), costly=True)
    assert due == (wait and after(wait))


@pytest.mark.parametrize("life", [5, 4, 0, -5])
def test_message_without_time_left_is_not_retried(life):
    assert next_attempt(1, NOW, written_at=NOW, expires_at=after(life)) is None


@pytest.mark.parametrize(("wait", "due"), [(0, 1), (60, 60), (700, None)])
def test_retry_respects_the_requested_wait(wait, due):
    found = next_attempt(1, NOW, written_at=NOW, expires_at=after(600), wait=timedelta(seconds=wait))
    assert found == (due and after(due))
