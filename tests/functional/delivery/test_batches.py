"""Waiting messages are delivered in batches, at little more than the cost of one."""

from __future__ import annotations

import threading
import time

import pytest

from tests.messages import teach
from tests.sinks import code_in, until

BURST = 600


@pytest.fixture
def ask_for_codes(people, json_wire, rows):
    """Requests codes for some people; returns the IDs of the messages."""

    def ask(count):
        from app.outbox import Message

        for number in range(count):
            known = people.open(email=f"person{number}@example.com")
            asked = json_wire.elsewhere().post("/us-signin/send-code", identity=known.email, chosen_method="email")
            assert asked.ok
        return [message.id for message in rows(Message)]

    return ask


@pytest.mark.both_databases
@pytest.mark.settings(limits=False)
def test_batch_of_mails_takes_as_many_statements_as_one_mail(app, ask_for_codes, statements, smtp):
    from app.outbox.delivery import deliver_all

    first, *others = ask_for_codes(6)
    with app.app_context():
        with statements() as alone:
            deliver_all([first])
        with statements() as together:
            assert {outcome.state for outcome in deliver_all(others)} == {"sent"}
    assert len(alone) == len(together) == 5, "claim, read, who is suppressed, settle, and the events"
    assert len({code_in(mail) for mail in smtp.mails}) == 6


@pytest.mark.both_databases
def test_total_mail_limit_adds_one_statement_per_batch(app, ask_for_codes, statements):
    from app.outbox.delivery import deliver_all

    first, *waiting = ask_for_codes(6)
    with app.app_context():
        deliver_all([first])  # counts the accounts, now and then
        with statements() as together:
            assert {outcome.state for outcome in deliver_all(waiting)} == {"sent"}
    assert len(together) == 6


def test_each_mail_of_a_batch_is_in_the_audit_log(app, ask_for_codes, rows, smtp):
    from app.audit import Event
    from app.outbox import Message
    from app.outbox.delivery import deliver_all

    ids = ask_for_codes(3)
    with app.app_context():
        deliver_all(ids)
    told = {(event.user_id, event.challenge_id, event.facts["message"]) for event in rows(Event, name="challenge.sent")}
    assert told == {(message.user_id, message.challenge_id, message.id) for message in rows(Message)}
    assert len(told) == 3


def test_mail_that_fails_to_render_does_not_block_the_batch(app, post, smtp, row):
    from app.outbox.delivery import deliver_all

    teach(app, "trial_unread", say_nothing, reads=read_nothing)
    bad, good = post(kind="trial_unread"), post()
    with app.app_context():
        deliver_all([bad, good])
    assert (row(bad).state, row(bad).last_error) == ("waiting", "not rendered (ZeroDivisionError)")
    assert row(good).state == "sent"


def read_nothing(messages):
    """Fail."""
    return {messages: 1 / 0}


def say_nothing(message, known):
    """Log nothing."""


@pytest.mark.both_databases
def test_unexpected_error_in_one_message_does_not_affect_the_rest_of_the_batch(app, post, smtp, row, monkeypatch):
    from app.outbox.channels import sms as channel
    from app.outbox.delivery import deliver_all

    monkeypatch.setattr(channel, "_prepare_connection", lambda *where: 1 / 0)
    first, odd, last = post(), post("sms"), post()
    with app.app_context():
        deliver_all([first, odd, last])
    assert [row(each).state for each in (first, odd, last)] == ["sent", "waiting", "sent"]
    assert row(odd).last_error == "not sent (ZeroDivisionError)"
    assert len(smtp.mails) == 2


def test_delivery_pace_counts_only_attempted_messages(app, post):
    from app.outbox import leases
    from app.outbox.schedule import SLOW_THRESHOLD
    from app.outbox.worker import Worker

    teach(app, "trial_slow", say_slowly)
    ids = [post(kind="trial_slow"), *(post() for _ in range(7))]
    worker = Worker(app, threading.Event())
    with app.app_context():
        worker._send("example.com", leases.claim(ids))
    assert worker.schedule._seconds_per_message["example.com"] > SLOW_THRESHOLD


def test_first_message_of_a_batch_is_attempted_even_after_slow_rendering(app, post, row, monkeypatch):
    from app.outbox import delivery, renderers

    read = renderers.read
    monkeypatch.setattr(
        renderers, "read", lambda messages: time.sleep(delivery.BATCH_TIME_LIMIT + 0.1) or read(messages)
    )
    first, second = post(), post()
    with app.app_context():
        delivery.deliver_all([first, second])
    assert (row(first).state, row(second).last_error) == ("sent", "worker busy")


def say_slowly(message):
    """Respond as slowly as a slow server."""
    from app import outbox
    from app.outbox.schedule import SLOW_THRESHOLD

    time.sleep(SLOW_THRESHOLD + 0.1)
    return outbox.EmailMessage("Hello", "hello")


def test_failing_periodic_task_does_not_stop_the_others(app, monkeypatch):
    from app.outbox import jobs

    done = []
    monkeypatch.setattr(jobs, "periodic_tasks", lambda: [lambda: 1 / 0, lambda: bool(done.append(True))])
    with app.app_context():
        jobs.run_periodic_tasks(threading.Event())
    assert done == [True]


def test_burst_is_delivered_without_waiting_for_a_sweep(make_app, clock, working, smtp, tmp_path):
    from app import outbox
    from app.extensions import db

    app = make_app(queue_url=f"sqlite:///{tmp_path}/queue.db", outbox_sweep_every=60)
    working(app)
    time.sleep(0.2)  # its first sweep is over
    with app.app_context():
        for number in range(BURST):
            outbox.enqueue("trial", "mail", f"person{number}@example.com")
        db.session.commit()
    until(lambda: len(smtp.mails) >= BURST, 30)
    assert len({mail.to[0] for mail in smtp.mails}) == len(smtp.mails) == BURST


@pytest.mark.both_databases
def test_idle_worker_keeps_its_wakeup_connection(make_app, clock, working, monkeypatch, tmp_path):
    from app.outbox import wakeups

    listen, made = wakeups.listen, []
    monkeypatch.setattr(wakeups, "listen", lambda where: made.append(listen(where)) or made[-1])
    working(make_app(queue_url=f"sqlite:///{tmp_path}/queue.db"))
    until(lambda: made)
    time.sleep(1.2)
    assert len(made) == 1
