"""The clock returns the machine's time, and can be shifted by tests."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from app import clock

SLACK = timedelta(seconds=2)  # what a busy machine may need between two lines


@pytest.fixture(autouse=True)
def own_time():
    yield
    clock.reset()


def test_now_is_an_aware_utc_datetime_of_this_moment():
    assert clock.now().tzinfo is UTC
    assert abs(clock.now() - datetime.now(UTC)) < SLACK
    assert abs(clock.unix() - time.time()) < SLACK.total_seconds()


def test_travel_moves_both_ways_and_is_undone():
    before = clock.now()
    with clock.travel(3600):
        assert abs(clock.now() - before - timedelta(hours=1)) < SLACK
        with clock.travel(-7200):
            assert abs(clock.now() - before + timedelta(hours=1)) < SLACK
    assert abs(clock.now() - before) < SLACK


def test_travel_is_undone_after_an_exception():
    before = clock.unix()
    with pytest.raises(LookupError), clock.travel(3600):
        raise LookupError
    assert clock.unix() - before < SLACK.total_seconds()


def test_shifts_add_up_until_the_reset():
    before = clock.unix()
    clock.shift(600)
    clock.shift(600)
    assert abs(clock.unix() - before - 1200) < SLACK.total_seconds()
    clock.reset()
    assert clock.unix() - before < SLACK.total_seconds()


def test_shift_during_travel_is_undone_with_it():
    before = clock.unix()
    with clock.travel(60):
        clock.shift(600)
    assert clock.unix() - before < SLACK.total_seconds()
