"""Failed attempts for an account: never too many in an hour or a day, and available again in time."""

from __future__ import annotations

import random

import pytest

from app.extensions import db
from app.throttling import by_account
from app.throttling.models import FailureCounter

pytestmark = pytest.mark.both_databases

HOUR, DAY = 3600, 24 * 3600
PER_HOUR, PER_DAY = 10, 25


def attempt() -> bool:
    """Return whether an attempt for an identity without an account was counted."""
    return by_account.reserve(None, "nobody@example.com") is not None


def most_within(times: list[float], seconds: float) -> int:
    """Return the most of ``times`` that lie within any window of this length."""
    return max((sum(0 <= later - first < seconds for later in times) for first in times), default=0)


@pytest.mark.parametrize("seed", range(6))
def test_failures_never_exceed_the_hourly_and_daily_limit(app, clock, seed):
    draw = random.Random(seed)
    now, counted = 0.0, []
    with app.app_context():
        for _ in range(250):
            seconds = draw.choice((1, 60, 600, 1700, 3500, 3700, 20_000, 80_000)) * (0.5 + draw.random())
            clock.shift(seconds)
            now += seconds
            if attempt():
                counted.append(now)
    assert most_within(counted, HOUR) <= PER_HOUR
    assert most_within(counted, DAY) <= PER_DAY


def test_failure_limit_resets_an_hour_after_the_last_failure(app, clock):
    with app.app_context():
        for _ in range(PER_HOUR):
            assert attempt()
            clock.shift(350)
        clock.shift(HOUR - 360)
        assert not attempt()
        clock.shift(20)
        assert [attempt() for _ in range(PER_HOUR + 1)] == [True] * PER_HOUR + [False]


def test_failures_of_the_previous_window_still_count(app, clock):
    with app.app_context():
        assert attempt()
        clock.shift(HOUR - 60)
        for _ in range(8):
            assert attempt()
        clock.shift(120)
        assert [attempt() for _ in range(2)] == [True, False]


def test_refund_removes_only_its_own_attempt(app, clock, rows):
    with app.app_context():
        for _ in range(3):
            right = by_account.reserve(None, "nobody@example.com")
        by_account.refund(right)
        db.session.commit()
    row = rows(FailureCounter)[0]
    assert (row.hour_count, row.day_count, row.in_a_row) == (2, 2, 0)


def test_refund_applies_only_to_its_own_window(app, clock, rows):
    with app.app_context():
        right = by_account.reserve(None, "nobody@example.com")
        clock.shift(HOUR - 60)
        attempt()
        clock.shift(120)
        attempt()
        by_account.refund(right)
        db.session.commit()
    row = rows(FailureCounter)[0]
    assert (row.hour_count, row.hour_before, row.day_count) == (1, 2, 2)


def test_refund_after_an_unlock_changes_nothing(app, people, rows):
    ada = people.open(email="ada@example.com")
    with app.app_context():
        right = by_account.reserve(ada.id, ada.email)
        by_account.reset_failures(ada.id)
        by_account.refund(right)
        db.session.commit()
    assert [(row.hour_count, row.day_count) for row in rows(FailureCounter)] == [(0, 0)]
