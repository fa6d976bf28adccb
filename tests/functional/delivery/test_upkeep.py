"""A worker's other tasks delay no message, and only one of two workers does each."""

from __future__ import annotations

import threading
import time

import pytest

from app.outbox import jobs
from tests.sinks import until

pytestmark = pytest.mark.both_databases


@pytest.fixture
def app(make_app, clock, tmp_path):
    """An application whose workers can be woken."""
    return make_app(queue_url=f"sqlite:///{tmp_path}/queue.db")


@pytest.fixture
def prune(app):
    """Has a worker of its own prune once; returns its thread."""

    def start():
        from app.outbox.jobs import Upkeep

        jobs = Upkeep(app.extensions["latchkey.settings"], threading.Event())

        def run():
            with app.app_context():
                jobs.prune()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    return start


def test_pruning_does_not_block_delivery(app, post, working, smtp, monkeypatch):
    from app.outbox import jobs

    pruning, arrived = threading.Event(), threading.Event()
    monkeypatch.setattr(jobs, "registered_cleanups", lambda: [lambda: pruning.set() or int(not arrived.wait(30))])
    working(app)
    assert pruning.wait(20)
    post()
    smtp.wait(1, 20)
    arrived.set()


def test_only_one_of_two_workers_prunes(prune, monkeypatch):
    from app.outbox import jobs

    pruned, left = [], [5]

    def slowly():
        pruned.append(threading.get_ident())
        time.sleep(0.2)
        left[0] -= 1
        return max(0, left[0])

    monkeypatch.setattr(jobs, "registered_cleanups", lambda: [slowly])
    first = prune()
    until(lambda: pruned)
    second = prune()
    first.join(10)
    second.join(10)
    assert set(pruned) == {first.ident}


def test_failing_cleanup_does_not_stop_the_others(prune, monkeypatch):
    done = []
    monkeypatch.setattr(jobs, "registered_cleanups", lambda: [lambda: 1 // 0, lambda: done.append(True) or 0])
    prune().join(10)
    assert done == [True]


def test_role_is_held_by_one_worker_until_its_lease_ends(app, clock):
    with app.app_context():
        assert jobs.acquire_role("test", "a")
        assert jobs.acquire_role("test", "a"), "renewed"
        assert not jobs.acquire_role("test", "b")
        clock.shift(31)
        assert jobs.acquire_role("test", "b")
        assert not jobs.acquire_role("test", "a")


def test_live_workers_are_counted_and_stale_leases_deleted(app, clock, rows):
    from app.outbox.models import Lease

    with app.app_context():
        jobs.record_heartbeat("a")
        jobs.record_heartbeat("b")
        assert jobs.count_workers() == 2
        clock.shift(31)
        jobs.record_heartbeat("b")
        assert jobs.count_workers() == 1
        clock.shift(2 * 86400)
        jobs.record_heartbeat("c")
    assert [lease.holder for lease in rows(Lease)] == ["c"]


def test_message_lease_is_renewed_while_sending(app, post, row, clock):
    from app.outbox import leases

    message_id = post()
    with app.app_context():
        claimed = leases.claim([message_id])
        with leases.sending(claimed):
            leases.renew()
            assert row(message_id).lease_until == claimed[0].lease_until, "too early"
            for _ in range(5):
                clock.shift(30)
                leases.renew()
                assert leases.claim([message_id]) == []
            assert row(message_id).lease_until == claimed[0].lease_until
        clock.shift(61)
        leases.renew()
        assert len(leases.claim([message_id])) == 1, "nobody holds it any more"
