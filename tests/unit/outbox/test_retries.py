"""When a message is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.outbox.retries import MAIL_DELAYS, SMS_DELAYS, next_attempt

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def seconds(due):
    """Return how many seconds after NOW that is; None for never."""
    return due and (due - NOW).total_seconds()


@pytest.mark.parametrize(("attempts", "wait"), [(1, 1), (2, 5), (3, 30), (4, 120), (5, 600), (6, None)])
def test_mail_is_tried_six_times(attempts, wait):
    assert seconds(next_attempt(MAIL_DELAYS, attempts, NOW, None)) == wait


@pytest.mark.parametrize(("attempts", "wait"), [(1, 5), (2, None)])
def test_what_may_cost_money_is_repeated_once(attempts, wait):
    assert seconds(next_attempt(SMS_DELAYS, attempts, NOW, None)) == wait


@pytest.mark.parametrize(
    ("life", "wait"), [(700, 600), (400, 200), (60, 30), (11, 5.5), (9, None), (0, None), (-5, None)]
)
def test_the_last_try_comes_before_the_end(life, wait):
    assert seconds(next_attempt(MAIL_DELAYS, 5, NOW, NOW + timedelta(seconds=life))) == wait


@pytest.mark.parametrize(("wait", "due"), [(0, 1), (60, 60), (700, None)])
def test_no_try_comes_before_the_other_side_wants_it(wait, due):
    assert seconds(next_attempt(MAIL_DELAYS, 1, NOW, NOW + timedelta(seconds=600), wait)) == due
