"""When a message is tried again."""

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


def test_first_tries_come_quickly():
    assert tries()[:5] == [0, 1, 6, 21, 51]


@pytest.mark.parametrize("greylisted", [60, 120, 300, 400, 500])
def test_code_leaves_soon_after_a_server_takes_it(greylisted):
    arrives = next(at for at in tries(600) if at >= greylisted)
    assert arrives - greylisted < 75


def test_code_is_tried_until_shortly_before_its_end():
    found = tries(600)
    assert 600 - 15 < found[-1] <= 600 - EXPIRY_MARGIN.total_seconds()
    assert len(found) < 30


def test_notice_is_tried_for_a_day_and_not_too_often():
    found = tries()
    assert DAY - 3600 < found[-1] <= DAY
    assert len(found) < 60


def test_notice_outlives_an_outage_of_an_hour():
    assert any(3600 <= at < 4600 for at in tries())


@pytest.mark.parametrize(("attempts", "wait"), [(1, 5), (2, None)])
def test_what_may_cost_money_is_repeated_once(attempts, wait):
    due = next_attempt(attempts, NOW, written_at=NOW, expires_at=after(300), costly=True)
    assert due == (wait and after(wait))


@pytest.mark.parametrize("life", [5, 4, 0, -5])
def test_message_is_given_up_when_there_is_no_time_left(life):
    assert next_attempt(1, NOW, written_at=NOW, expires_at=after(life)) is None


@pytest.mark.parametrize(("wait", "due"), [(0, 1), (60, 60), (700, None)])
def test_no_try_comes_before_the_other_side_wants_it(wait, due):
    found = next_attempt(1, NOW, written_at=NOW, expires_at=after(600), wait=timedelta(seconds=wait))
    assert found == (due and after(due))
