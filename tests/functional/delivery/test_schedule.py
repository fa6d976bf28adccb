"""Which messages are sent next if some destinations are slow, full or busy."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from app.outbox import leases
from app.outbox.schedule import MAX_BATCH, POLL_INTERVAL, ROUND_SIZE, SLOW_THRESHOLD, Schedule, next_round
from tests import plans

pytestmark = pytest.mark.both_databases

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def schedule(app):
    """A schedule of four threads."""
    return Schedule(4, POLL_INTERVAL, leases)


@pytest.fixture
def take(app, schedule):
    """Claims the next messages in an app context; returns destination and recipients."""

    def run(timeout=0.0):
        with app.app_context():
            taken = schedule.claim_batch(timeout)
        return taken and (taken[0], [message.to.partition("@")[0] for message in taken[1]])

    return run


@pytest.fixture
def put(app):
    """Queues messages to that many people at a domain, in one transaction."""

    def run(domain, count, first=0):
        from app import outbox
        from app.extensions import db

        with app.app_context():
            for number in range(first, first + count):
                outbox.enqueue("trial", "mail", f"p{number}@{domain}")
            db.session.commit()

    return run


def quick(schedule, *destinations):
    """Mark these destinations as fast."""
    for each in destinations:
        schedule._in_progress[each] += 1
        schedule.done(each, 0.001)


def due(destination, tried=False, since=0, newest=0):
    """Return what a look finds at a destination; moments are seconds before NOW."""
    from app.outbox.leases import Due

    return Due(destination, tried, NOW - timedelta(seconds=since), NOW - timedelta(seconds=newest))


def test_message_is_claimed_once(put, take):
    put("x.test", 1)
    assert take() == ("x.test", ["p0"])
    assert take() is None


def test_new_destination_gets_one_thread_and_one_message(put, take, schedule):
    put("x.test", 5)
    assert len(take()[1]) == 1
    assert take() is None
    schedule.done("x.test", 0.001)
    assert len(take(1)[1]) == 4


def test_batch_size_follows_the_destinations_pace(put, take, schedule):
    put("x.test", 40)
    quick(schedule, "x.test")
    assert len(take()[1]) == MAX_BATCH
    schedule.done("x.test", 0.1)
    assert len(take(1)[1]) == 5


def test_one_destination_cannot_occupy_every_thread(put, take, schedule):
    put("x.test", 200)
    quick(schedule, "x.test")
    assert [bool(take()) for _ in range(4)] == [True, True, True, False]
    put("y.test", 1)
    schedule.wake()
    assert take(1) == ("y.test", ["p0"])


def test_slow_destination_gets_one_thread_until_it_recovers(put, take, schedule):
    put("x.test", 200)
    take()
    schedule.done("x.test", SLOW_THRESHOLD + 1)
    assert len(take(1)[1]) == 1
    assert take() is None
    schedule.done("x.test", 0.001)
    assert [bool(take(0.5)) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("pace", [None, SLOW_THRESHOLD + 1], ids=["not known", "slow"])
def test_new_and_slow_destinations_leave_a_thread_to_fast_ones(put, take, schedule, pace):
    for number in range(5):
        put(f"slow{number}.test", 1)
        if pace:
            schedule._seconds_per_message[f"slow{number}.test"] = pace
    put("x.test", 1)
    quick(schedule, "x.test")
    found = [take(0.2) for _ in range(5)]
    assert len([each for each in found if each]) == 4
    assert ("x.test", ["p0"]) in found


def test_fast_destination_has_at_most_four_concurrent_batches(app, put):
    put("x.test", 200)
    schedule = Schedule(16, POLL_INTERVAL, leases)
    quick(schedule, "x.test")
    with app.app_context():
        assert [bool(schedule.claim_batch(0.2)) for _ in range(5)] == [True, True, True, True, False]


def test_single_thread_schedule_claims_a_batch(app, put):
    put("x.test", 1)
    with app.app_context():
        assert Schedule(1, POLL_INTERVAL, leases).claim_batch(0)


def test_destinations_are_served_in_turn(put, take, schedule):
    put("x.test", 100)
    put("y.test", 100)
    quick(schedule, "x.test", "y.test")
    assert sorted(take()[0] for _ in range(4)) == ["x.test", "x.test", "y.test", "y.test"]


def test_new_message_is_sent_before_retries(put, take, schedule, database, clock):
    put("x.test", 30)
    database.query("UPDATE message SET attempts = 1 RETURNING id")
    clock.shift(1)
    put("x.test", 1, first=99)
    quick(schedule, "x.test")
    assert take() == ("x.test", ["p99"])
    assert len(take()[1]) == MAX_BATCH


def test_batches_alternate_between_newest_and_oldest_messages(put, take, schedule, clock):
    for number in range(60):
        put("x.test", 1, first=number)
        clock.shift(1)
    quick(schedule, "x.test")
    assert take()[1] == [f"p{number}" for number in range(60 - MAX_BATCH, 60)]
    assert take()[1] == [f"p{number}" for number in range(MAX_BATCH)]


def test_message_is_not_claimed_before_its_next_attempt(put, take, schedule, database, clock, app):
    from app.outbox import leases

    put("x.test", 1)
    with app.app_context():
        (message,) = leases.claim_from(leases.due()[0], 1)
    assert take() is None
    assert message.state == "sending"
    clock.shift(61)
    assert take(1.5) == ("x.test", ["p0"])


def test_waiting_claim_is_woken_by_a_new_message(put, take, schedule):
    assert take() is None
    threading.Timer(0.2, lambda: (put("x.test", 1), schedule.wake())).start()
    began = time.monotonic()
    assert take(5)
    assert time.monotonic() - began < 0.9


def test_messages_are_collected_into_a_batch_after_an_emptying_batch(put, take, schedule):
    put("x.test", 1)
    quick(schedule, "x.test")
    assert take() == ("x.test", ["p0"])
    for number in range(1, 4):
        put("x.test", 1, first=number)
        schedule.wake()
        assert take() is None
    assert sorted(take(0.5)[1]) == ["p1", "p2", "p3"]


def test_more_destinations_than_one_round_are_served_without_a_pause(put, take, schedule):
    for number in range(ROUND_SIZE + 1):
        put(f"x{number}.test", 1)
    quick(schedule, *(f"x{number}.test" for number in range(ROUND_SIZE + 1)))
    assert len({take()[0] for _ in range(ROUND_SIZE + 1)}) == ROUND_SIZE + 1


def test_messages_are_polled_without_a_wakeup(put, take):
    assert take() is None
    put("x.test", 1)
    assert take(3)


def test_closed_schedule_returns_immediately(put, take, schedule):
    put("x.test", 1)
    schedule.close()
    began = time.monotonic()
    assert [take(5) for _ in range(4)] == [None] * 4
    assert time.monotonic() - began < 1


def test_round_mixes_newest_oldest_and_one_retried_destination():
    new = [due(f"new{number}", since=number, newest=number) for number in range(20)]
    again = [due(f"again{number}", tried=True, since=number) for number in range(20)]
    chosen = [each.destination for each in next_round([*again, *new])]
    assert chosen == ["new0", "new1", "new2", "new3", "new19", "new18", "new17", "again19"]
    assert [each.destination for each in next_round(again)] == [
        f"again{number}" for number in range(19, 19 - ROUND_SIZE, -1)
    ]
    assert next_round([]) == []


def test_polling_and_claiming_use_partial_indexes(app, put, take, database):
    put("x.test", 3)
    with plans.collected(app) as found:
        take()
        database.query("UPDATE message SET attempts = 1, next_attempt_at = created_at RETURNING id")
        take(1.5)
    assert len(found) == 4, "a look and a claim each"
    for plan in found:
        assert not plans.reads_whole(plan, "message"), plan
    assert "ix_message_new" in found[1]
    assert "ix_message_again" in found[3]
