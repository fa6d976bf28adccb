"""The worker: fast, fair, and losing nothing."""

from __future__ import annotations

import threading
import time

import pytest

from tests.sinks import until


@pytest.fixture
def app(make_app, clock, tmp_path):
    """An application whose queue works."""
    return make_app(queue_url=f"sqlite:///{tmp_path}/queue.db")


@pytest.mark.both_databases
def test_message_is_sent_within_200_ms_of_its_commit(app, post, working, smtp):
    working(app)
    post(to="first@example.com")
    smtp.wait(1)
    delays = []
    for number in range(10):
        began = time.monotonic()
        post(to=f"person{number}@example.com")
        smtp.wait(number + 2)
        delays.append(time.monotonic() - began)
    assert sorted(delays)[5] < 0.2


@pytest.mark.both_databases
def test_message_of_a_rolled_back_transaction_is_never_sent(app, working, smtp, post, rows):
    from app import outbox
    from app.extensions import db

    working(app)
    with app.app_context():
        outbox.enqueue("trial", "mail", "rolled@example.com")
        db.session.rollback()
        db.session.commit()
    post(to="after@example.com")
    assert [mail.to for mail in smtp.wait(1)] == [["after@example.com"]]
    assert len(rows(outbox.Message)) == 1


@pytest.mark.both_databases
def test_message_with_a_lost_wakeup_is_sent_within_two_seconds(app, post, working, smtp, monkeypatch):
    from app.outbox import wakeups

    working(app)
    post(to="first@example.com")
    smtp.wait(1)
    monkeypatch.setattr(wakeups, "wake", lambda: None)
    began = time.monotonic()
    post(to="lost@example.com")
    smtp.wait(2, 5)
    assert time.monotonic() - began < 2


def test_consecutive_wakeups_are_coalesced(app, monkeypatch):
    from app.outbox import wakeups
    from app.outbox.worker import Worker

    class Flood:
        read = 0

        def wait(self, seconds):
            self.read += 1
            return True

        def close(self):
            pass

    stop, flood = threading.Event(), Flood()
    monkeypatch.setattr(wakeups, "listen", lambda where: flood)
    threading.Timer(0.5, stop.set).start()
    Worker(app, stop).listen()
    assert 2 <= flood.read <= 0.5 / wakeups.COALESCE_TIME + 1


@pytest.mark.both_databases
def test_unreachable_queue_does_not_fail_the_commit(make_app, rows):
    from app import outbox
    from app.extensions import db

    app = make_app(queue_url="redis://127.0.0.1:1/0")
    with app.app_context():
        began = time.monotonic()
        for _ in range(20):
            outbox.enqueue("trial", "mail", "ada@example.com")
            db.session.commit()
        assert time.monotonic() - began < 1
    assert len(rows(outbox.Message)) == 20


@pytest.mark.both_databases
def test_message_of_a_dead_worker_is_claimed_again_when_its_lease_ends(post, attempt, clock, row, app, smtp):
    from app.outbox.leases import claim

    message_id = post()
    with app.app_context():
        assert [message.id for message in claim([message_id])] == [message_id]
    assert row(message_id).state == "sending"
    with clock.travel(59):
        assert not attempt(message_id)
    with clock.travel(60.1):
        assert attempt(message_id)
    assert len(smtp.mails) == 1


@pytest.mark.both_databases
def test_result_reported_after_the_lease_is_ignored(post, clock, row, app):
    from app.outbox.delivery import Outcome
    from app.outbox.leases import claim, record_results

    message_id = post()
    with app.app_context():
        (late,) = claim([message_id])
        with clock.travel(61):
            assert claim([message_id])
        record_results([Outcome(late, "abandoned", reason="late")])
    assert row(message_id).state == "sending"


@pytest.mark.both_databases
def test_sent_event_is_not_recorded_after_the_lease(post, clock, rows, app):
    from app.audit import Event
    from app.outbox.delivery import Outcome
    from app.outbox.leases import claim, record_results

    message_id = post(challenge_id="0" * 32)
    with app.app_context():
        (late,) = claim([message_id])
        with clock.travel(61):
            assert claim([message_id])
        record_results([Outcome(late, "sent")])
    assert rows(Event, name="challenge.sent") == []


def test_worker_retries_a_failed_message(app, post, working, smtp, row):
    working(app)
    smtp.mode = "busy"
    message_id = post()
    until(lambda: row(message_id).last_error)
    smtp.mode = "ok"
    smtp.wait(1, 4)
    until(lambda: row(message_id).state == "sent")
    assert row(message_id).attempts == 2


@pytest.mark.both_databases
def test_slow_mail_domain_does_not_block_other_domains(app, post, working, smtp):
    smtp.modes = {"slow.test": "slow"}
    working(app)
    for number in range(12):
        post(to=f"person{number}@slow.test")
    time.sleep(0.3)
    for number in range(30):
        post(to=f"person{number}@example.com")
    until(lambda: sum(mail.to[0].endswith("@example.com") for mail in smtp.mails) == 30, 4)
    assert sum(mail.to[0].endswith("@slow.test") for mail in smtp.mails) == 0


@pytest.mark.both_databases
def test_rejected_recipients_do_not_affect_the_other_messages(app, post, working, smtp, rows):
    from app.outbox import Message

    smtp.modes = {"refused.test": "refuse"}
    working(app)
    for number in range(100):
        post(to=f"person{number}@{'refused.test' if number % 10 == 0 else 'example.com'}")
    until(lambda: len(rows(Message, state="sent")) == 90 and len(rows(Message, state="abandoned")) == 10, 20)
    assert len({mail.to[0] for mail in smtp.mails}) == len(smtp.mails) == 90


@pytest.mark.both_databases
def test_stopped_worker_releases_the_message_being_sent(app, post, smtp, row):
    from app.outbox import worker

    smtp.hesitation = 30
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(app, stop))
    thread.start()
    message_id = post(to="ada@slow.test")
    until(lambda: row(message_id).state == "sending")
    time.sleep(0.2)
    began = time.monotonic()
    stop.set()
    thread.join(10)
    assert time.monotonic() - began < 5
    given_back = row(message_id)
    assert (given_back.state, given_back.attempts, given_back.last_error) == ("waiting", 0, "worker stopped")


@pytest.mark.both_databases
def test_old_finished_messages_are_pruned(post, attempt, clock, app, rows):
    from datetime import timedelta

    from app.outbox import Message, leases

    attempt(post())
    with clock.travel(8 * 86400):
        waiting = post()
        with app.app_context():
            assert leases.prune(timedelta(days=7)) == 1
    assert [message.id for message in rows(Message)] == [waiting]


@pytest.mark.both_databases
def test_hung_periodic_task_does_not_stop_worker_heartbeats(make_app, working, clock):
    from app.extensions import db
    from app.outbox import jobs
    from app.outbox.models import Lease

    app, let_go, reached = make_app(brand_name="Hanging", outbox_sweep_every=0.1), threading.Event(), threading.Event()
    kept = list(app.extensions.get("latchkey.periodic_tasks", ()))

    def hang() -> bool:
        reached.set()
        let_go.wait(10)
        return False

    jobs.register_periodic_task(app, hang)
    try:
        working(app)
        assert reached.wait(5)
        with app.app_context():
            until(jobs.count_workers)
            db.session.execute(db.update(Lease).values(until=clock.now()))
            db.session.commit()
            until(jobs.count_workers)
            assert [sign.swept_at for sign in jobs.live_workers()] == [None]
    finally:
        let_go.set()
        app.extensions["latchkey.periodic_tasks"] = kept
