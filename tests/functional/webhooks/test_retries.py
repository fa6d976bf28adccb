"""Failed deliveries are retried for days; a failing endpoint is paused, one that is gone is disabled."""

from __future__ import annotations

import re
import threading
import time
from datetime import timedelta
from email.utils import format_datetime

import pytest
import structlog

from app.audit import Event
from app.webhooks import sender
from app.webhooks.delivery import JITTER, RETRY_DELAYS
from app.webhooks.models import WebhookDelivery, WebhookEndpoint
from tests import plans

pytestmark = pytest.mark.both_databases

DAY = 86400


@pytest.fixture
def happen(app):
    """Causes an event: ``happen()`` creates a group."""
    numbers = iter(range(1000))

    def run() -> None:
        from app.extensions import db
        from app.groups import service

        with app.app_context():
            service.create(f"group{next(numbers)}", by="operator")
            db.session.commit()

    return run


@pytest.fixture
def at_most(monkeypatch):
    """Shortens the time for an answer, in seconds."""
    return lambda seconds: monkeypatch.setattr(sender, "RESPONSE_TIMEOUT", seconds)


def due_in(clock, row) -> float:
    return (row.next_attempt_at - clock.now()).total_seconds()


def test_delivery_is_tried_ten_times_over_three_days_with_the_same_id(app, add, receiver, posted, happen, rows, clock):
    add(receiver)
    receiver.answers = [500] * 20
    happen()
    waits = []
    for _ in RETRY_DELAYS:
        assert len(posted()) == 1
        (row,) = rows(WebhookDelivery)
        assert (row.state, row.last_status, row.last_error) == ("waiting", 500, "answered 500")
        waits.append(due_in(clock, row))
        clock.shift(waits[-1] - 1)
        assert posted() == []
        clock.shift(301)  # an endpoint that is down rests for five minutes at most
    assert len(posted()) == 1
    (row,) = rows(WebhookDelivery)
    assert (row.state, row.attempts, row.next_attempt_at) == ("abandoned", 10, None)
    assert len({hook.id for hook in receiver.hooks}) == 1
    assert len({hook.body for hook in receiver.hooks}) == 1
    assert len({hook.headers["webhook-timestamp"] for hook in receiver.hooks}) == 10
    for wait, planned in zip(waits, RETRY_DELAYS, strict=True):
        assert planned.total_seconds() - 1 <= wait <= planned.total_seconds() * (1 + JITTER) + 1
    assert timedelta(days=3) < sum(RETRY_DELAYS, timedelta()) < timedelta(days=4)


def test_retry_delays_have_jitter(app, add, other_receiver, receiver, post_due, happen, rows, clock):
    for _ in range(4):
        add(receiver)
    receiver.answers = [400] * 4
    happen()
    post_due()
    assert len({row.next_attempt_at.microsecond for row in rows(WebhookDelivery)}) > 1


def test_all_events_are_delivered_after_hours_of_downtime(app, add, receiver, posted, happen, rows, clock):
    add(receiver)
    receiver.answers = [None] * 40
    for _ in range(3):
        happen()
    while clock.now() < rows(WebhookDelivery)[0].at + timedelta(hours=8):
        posted()
        clock.shift(240)
    tried = len(receiver.hooks)
    assert 3 < tried < 40
    receiver.answers = []
    clock.shift(10 * 3600 * 1.3)
    assert len(posted()) == 3
    assert {row.state for row in rows(WebhookDelivery)} == {"sent"}
    (endpoint,) = rows(WebhookEndpoint)
    assert (endpoint.failures, endpoint.failing_since, endpoint.last_error) == (0, None, "")


def test_failing_endpoint_is_probed_with_one_event_at_a_time(app, add, receiver, post_due, happen, clock, rows):
    """With a thousand events waiting, each rest costs one try."""
    add(receiver)
    receiver.answers = [503] * 3
    for _ in range(20):
        happen()
    assert post_due() == 1
    clock.shift(6)
    assert post_due() == 1
    clock.shift(6)
    assert post_due() == 0  # the second rest is twice as long
    clock.shift(5)
    assert post_due() == 1
    clock.shift(21)
    assert post_due() >= 17
    assert sorted({row.state for row in rows(WebhookDelivery)}) in (["sent"], ["sent", "waiting"])


def test_rejected_event_does_not_delay_others(app, add, receiver, posted, happen):
    add(receiver)
    receiver.answers = [400]
    happen()
    happen()
    assert len(posted()) == 2


def test_410_response_disables_the_endpoint_at_once(app, add, receiver, posted, happen, rows):
    endpoint = add(receiver)
    receiver.answers = [410]
    happen()
    happen()
    with structlog.testing.capture_logs() as logged:
        posted()
    assert len(receiver.hooks) == 1
    (row,) = rows(WebhookEndpoint)
    assert (row.disabled_reason, row.disabled_at is None) == ("gone", False)
    assert [event.facts for event in rows(Event, name="webhook.disabled")] == [
        {"endpoint": endpoint.id, "reason": "gone", "by": "worker"}
    ]
    assert [line["reason"] for line in logged if line["event"] == "webhook.endpoint_disabled"] == ["gone"]
    happen()
    assert posted() == []
    assert len(rows(WebhookDelivery)) == 2  # the third was not even written


def test_endpoint_failing_for_five_days_is_disabled(app, add, receiver, posted, happen, rows, clock):
    add(receiver)
    receiver.answers = [500] * 200
    for hours in range(119):
        if hours % 24 == 0:
            happen()
        posted()
        clock.shift(3600)
    assert rows(WebhookEndpoint)[0].disabled_at is None
    happen()
    clock.shift(2 * 3600)
    with structlog.testing.capture_logs() as logged:
        posted()
    assert rows(WebhookEndpoint)[0].disabled_reason == "failing"
    assert [line["reason"] for line in logged if line["event"] == "webhook.endpoint_disabled"] == ["failing"]


def test_two_failures_days_apart_do_not_disable_the_endpoint(app, add, receiver, posted, happen, rows, clock):
    add(receiver)
    receiver.answers = [500, 500]
    happen()
    posted()
    clock.shift(6 * DAY)
    posted()
    assert rows(WebhookEndpoint)[0].disabled_at is None


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honored(app, add, receiver, posted, happen, rows, clock, status, form):
    add(receiver)
    until = clock.now() + timedelta(seconds=1000)
    receiver.answers = [status]
    receiver.headers = {"Retry-After": "1000" if form == "seconds" else format_datetime(until, usegmt=True)}
    happen()
    posted()
    happen()  # it has to wait, too
    clock.shift(990)
    assert posted() == []
    clock.shift(12)
    assert len(posted()) == 2


@pytest.mark.parametrize("text", ["-1", "soon", "1e9", "99999999999999999999", "Mon, 99 Foo 2026 00:00:00 GMT", ""])
def test_invalid_retry_after_is_ignored(app, add, receiver, posted, happen, rows, clock, text):
    add(receiver)
    receiver.answers, receiver.headers = [503], {"Retry-After": text}
    happen()
    posted()
    assert due_in(clock, rows(WebhookDelivery)[0]) < 7


def test_retry_after_is_capped_at_one_day(app, add, receiver, posted, happen, rows, clock):
    add(receiver)
    receiver.answers, receiver.headers = [503], {"Retry-After": "999999999"}
    happen()
    posted()
    assert due_in(clock, rows(WebhookDelivery)[0]) <= DAY


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(app, add, receiver, other_receiver, posted, happen, rows, status):
    add(receiver)
    receiver.answers, receiver.headers = [status], {"Location": other_receiver.url}
    happen()
    posted()
    assert other_receiver.hooks == []
    assert rows(WebhookDelivery)[0].last_error == f"redirects {status}"


def drip(handler, over):
    while not over.wait(0.02):
        handler.wfile.write(b"H")


def huge(handler, over):
    handler.send_response_only(200)
    handler.send_header("Content-Length", str(10**12))
    handler.end_headers()
    while not over.is_set():
        handler.wfile.write(b"x" * 65536)


def endless_head(handler, over):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not over.is_set():
        handler.wfile.write(b"X-More: " + b"x" * 60000 + b"\r\n")


def no_http(handler, over):
    handler.wfile.write(b"220 mail.example.com ESMTP\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        (drip, "waiting", "timed out"),
        (lambda handler, over: over.wait(5), "waiting", "timed out"),
        (huge, "sent", ""),
        (endless_head, "waiting", "answer is no HTTP"),
        (no_http, "waiting", "answer is no HTTP"),
    ],
    ids=["drip", "silence", "huge", "endless head", "no HTTP"],
)
def test_endless_response_is_cut_off(app, add, receiver, posted, happen, rows, at_most, answer, state, reason):
    at_most(0.4)
    add(receiver)
    receiver.answer = answer
    happen()
    began = time.monotonic()
    posted()
    assert time.monotonic() - began < 2
    (row,) = rows(WebhookDelivery)
    assert (row.state, row.last_error) == (state, reason)


def test_deliveries_waiting_at_a_disabled_endpoint_are_sent_when_reenabled(
    app, add, operate, receiver, posted, happen, rows
):
    endpoint = add(receiver)
    happen()
    operate("disable", endpoint.id)
    happen()
    assert posted() == []
    operate("enable", endpoint.id)
    assert len(posted()) == 1


def test_deliveries_waiting_too_long_at_a_disabled_endpoint_are_abandoned(
    app, add, operate, receiver, happen, rows, clock
):
    from app.webhooks.cleanup import prune_overdue

    endpoint = add(receiver)
    happen()
    operate("disable", endpoint.id)
    clock.shift(5 * DAY - 60)
    with app.app_context():
        assert prune_overdue() == 0
    clock.shift(120)
    number = str(rows(WebhookDelivery)[0].id)
    operate("retry", number)
    with app.app_context():
        assert prune_overdue() == 0  # it has five days more
    clock.shift(5 * DAY + 60)
    with app.app_context():
        assert prune_overdue() == 1
    (row,) = rows(WebhookDelivery)
    assert (row.state, row.last_error) == ("abandoned", "endpoint disabled for too long")


# --- workers ------------------------------------------------------------------------------------


def test_commit_wakes_the_workers_only_with_endpoints(app, add, receiver, happen, monkeypatch):
    from app.outbox import wakeups

    woken = []
    monkeypatch.setattr(wakeups, "wake", lambda: woken.append(True))
    happen()
    assert woken == []
    add(receiver)
    happen()
    assert woken == [True]


def test_wake_triggers_an_immediate_poll(app):
    from app.webhooks.delivery import Deliverer

    deliverer = Deliverer(app, threading.Event())
    assert not deliverer._schedule._woken.is_set()
    deliverer.wake()
    assert deliverer._schedule._woken.is_set()


def test_polling_and_claiming_use_the_due_index(app, add, receiver, happen):
    from app.webhooks.delivery import Queue

    add(receiver)
    happen()
    with plans.collected(app) as found:
        queue = Queue()
        queue.claim_from(queue.due()[0], 16)
    look, claim = [plan for plan in found if "webhook_delivery" in plan]
    for plan in (look, claim):
        assert "ix_webhook_delivery_due" in plan
        assert not plans.reads_whole(plan, "webhook_delivery")


def test_console_queries_use_an_index(app, add, receiver):
    from app.webhooks import endpoints

    endpoint = add(receiver)
    with plans.collected(app) as found:
        endpoints.health()
        endpoints.deliveries(endpoint_id=endpoint.id)
        endpoints.deliveries(endpoint_id=endpoint.id, states=["abandoned"])
        endpoints.deliveries(states=["waiting", "sending"])
        endpoints.retry(["12", "msg_x"])
        endpoints.retry_failed(endpoint.id)
    assert len(found) == 10
    assert [plan for plan in found if re.search(r"(?m)SCAN webhook_delivery$|Seq Scan on webhook_delivery", plan)] == []


def test_concurrent_workers_post_each_event_once(app, add, receiver, happen, rows):
    from app.webhooks.delivery import Queue, send

    endpoint = add(receiver)
    for _ in range(12):
        happen()
    gate = threading.Barrier(4)

    def work() -> None:
        queue = Queue()
        with app.app_context():
            gate.wait()
            for _ in range(6):
                for due in queue.due():
                    send(endpoint.id, queue.claim_from(due, 3))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receiver.hooks) == 12
    assert len({hook.id for hook in receiver.hooks}) == 12
    assert {row.state for row in rows(WebhookDelivery)} == {"sent"}


def test_delivery_claimed_by_a_dead_worker_is_resent_with_the_same_id(app, add, happen, receiver, posted, clock, rows):
    from app.webhooks.delivery import Queue, send

    endpoint = add(receiver)
    happen()
    queue = Queue()
    with app.app_context():
        lost = queue.claim_from(queue.due()[0], 16)
    assert posted() == []
    clock.shift(61)
    (first,) = posted()
    with app.app_context():
        send(endpoint.id, lost)  # it was only slow
    assert [hook.id for hook in receiver.hooks] == [first.id, first.id]
    assert rows(WebhookDelivery)[0].attempts == 2
    assert rows(WebhookDelivery)[0].state == "sent"


def test_slow_endpoints_do_not_delay_other_endpoints_or_email(
    app, add, receiver, other_receiver, happen, people, rows, smtp
):
    from app.outbox.worker import run as run_worker
    from tests.wire import Wire

    receiver.answer = lambda handler, over: over.wait(30)
    for _ in range(12):
        add(receiver)
    add(other_receiver)
    person = people.open(email="ada@example.com", methods=["email"])
    stop = threading.Event()
    worker = threading.Thread(target=run_worker, args=(app, stop))
    worker.start()
    try:
        happen()
        receiver.wait(12)  # all of them are kept waiting
        began = time.monotonic()
        for _ in range(3):
            happen()
        other_receiver.wait(4, 5)
        assert time.monotonic() - began < 3
        Wire(app, "json").post("/us-signin/send-code", identity=person.email, chosen_method="email")
        smtp.wait(1, 3)
        began = time.monotonic()
    finally:
        stop.set()
        worker.join(10)
    assert time.monotonic() - began < 6
    assert not worker.is_alive()
    assert {(row.state, row.attempts) for row in rows(WebhookDelivery)} <= {("sent", 1), ("waiting", 0)}
    assert {row.failures for row in rows(WebhookEndpoint)} == {0}  # that it stopped is no fault of theirs


def test_stopping_worker_returns_its_claimed_deliveries(app, add, receiver, happen, rows, monkeypatch):
    from app.outbox.channels import attempt
    from app.webhooks.delivery import Queue, send

    add(receiver)
    happen()
    queue = Queue()
    attempt.cut_off_all()
    with app.app_context():
        (outcome,) = send(rows(WebhookEndpoint)[0].id, queue.claim_from(queue.due()[0], 16))
    assert not outcome.is_attempt
    (row,) = rows(WebhookDelivery)
    assert (row.state, row.attempts, receiver.hooks) == ("waiting", 0, [])


# --- where it leads -----------------------------------------------------------------------------


@pytest.fixture
def resolves(monkeypatch):
    """Has every name lead to these addresses."""
    from app.outbox.channels import guarded_http

    return lambda *addresses: monkeypatch.setattr(guarded_http, "_resolve", lambda *_args: list(addresses))


@pytest.mark.settings(webhook_networks=("10.1.0.0/16",))
@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("https://hooks.example/", ["10.2.0.1"]),
        ("https://hooks.example/", ["93.184.215.14", "10.2.0.1"]),
        ("https://hooks.example/", ["169.254.169.254"]),
        ("http://hooks.example/", ["93.184.215.14"]),
        ("http://hooks.example/", ["10.1.0.1", "93.184.215.14"]),
    ],
)
def test_host_resolving_to_a_forbidden_address_is_not_contacted(
    add, posted, happen, rows, resolves, monkeypatch, url, addresses
):
    connected = []
    monkeypatch.setattr("socket.create_connection", lambda *args, **kwargs: connected.append(args))
    add(url)
    resolves(*addresses)
    happen()
    posted()
    assert connected == []
    assert rows(WebhookDelivery)[0].last_error == "address not allowed"


def test_endpoint_with_untrusted_certificate_is_not_posted_to(add, posted, happen, rows, tmp_path):
    from tests.document_site import DocumentSite

    untrusted = DocumentSite(tmp_path)
    add(untrusted.url("/hooks", "localhost"))
    happen()
    posted()
    untrusted.close()
    assert rows(WebhookDelivery)[0].last_error == "certificate not trusted"


def test_endpoint_with_trusted_certificate_is_posted_to(add, posted, happen, rows, site):
    add(site.url("/hooks", "localhost"))
    happen()
    posted()
    assert rows(WebhookDelivery)[0].last_error == "answered 501"  # this site rejects POST


def test_unresolvable_host_is_reported(add, posted, happen, rows):
    add("https://nowhere.invalid/")
    happen()
    posted()
    assert rows(WebhookDelivery)[0].last_error == "name not found"


# --- what two at once may not do ----------------------------------------------------------------


def test_slow_worker_does_not_complete_a_delivery_claimed_by_another(app, add, receiver, happen, rows, clock):
    from app.webhooks.delivery import Queue, send

    endpoint = add(receiver)
    happen()
    queue = Queue()
    with app.app_context():
        slow = queue.claim_from(queue.due()[0], 16)
        clock.shift(61)
        other = queue.claim_from(queue.due()[0], 16)
        send(endpoint.id, slow)
        assert rows(WebhookDelivery)[0].state == "sending"
        send(endpoint.id, other)
    assert rows(WebhookDelivery)[0].state == "sent"


def test_endpoint_disabled_after_polling_gets_no_delivery(app, add, operate, happen, receiver):
    from app.webhooks.delivery import Queue

    endpoint = add(receiver)
    happen()
    queue = Queue()
    with app.app_context():
        (due,) = queue.due()
    operate("disable", endpoint.id)
    with app.app_context():
        assert queue.claim_from(due, 16) == []


def test_delivery_in_progress_cannot_be_retried(app, add, operate, happen, receiver, rows):
    from app.webhooks.delivery import Queue

    add(receiver)
    happen()
    queue = Queue()
    with app.app_context():
        queue.claim_from(queue.due()[0], 16)
    assert "0 deliveries" in operate("retry", str(rows(WebhookDelivery)[0].id), fails=1)


def test_retried_abandoned_delivery_starts_with_fresh_attempts(
    app, add, operate, posted, happen, receiver, rows, clock
):
    endpoint = add(receiver)
    receiver.answers = [400] * 11
    happen()
    posted()
    while (row := rows(WebhookDelivery)[0]).state == "waiting":
        clock.shift(due_in(clock, row) + 1)
        posted()
    operate("retry", "--failed", endpoint.id)
    posted()
    (row,) = rows(WebhookDelivery)
    assert (row.state, row.attempts) == ("waiting", 1)


def test_polling_without_endpoints_runs_no_query(app, statements):
    from app.webhooks import subscriptions
    from app.webhooks.delivery import Queue

    subscriptions.assume_none(app)
    with app.app_context(), statements() as seen:
        assert Queue().due() == []
    assert seen == []


def test_endpoint_backoff_doubles_up_to_five_minutes_or_retry_after():
    from app.webhooks.delivery import _backoff

    rests = [_backoff(failures, sender.Answer(503, "answered 503")).total_seconds() for failures in (1, 2, 3, 7, 50)]
    assert rests == [5, 10, 20, 300, 300]
    assert _backoff(1, sender.Answer(503, "answered 503", 1000)).total_seconds() == 1000


def test_delivery_waits_for_retry_after(add, receiver, posted, happen, rows, clock):
    add(receiver)
    receiver.answers, receiver.headers = [503], {"Retry-After": "1000"}
    happen()
    posted()
    assert due_in(clock, rows(WebhookDelivery)[0]) > 990


def test_retry_jitter_is_at_most_twenty_percent(add, receiver, posted, happen, rows, clock, monkeypatch):
    from app.webhooks import delivery

    monkeypatch.setattr(delivery.random, "randbelow", lambda most: most - 1)
    add(receiver)
    receiver.answers = [400]
    happen()
    posted()
    assert 5.9 < due_in(clock, rows(WebhookDelivery)[0]) <= 6.0


def test_batch_over_its_time_limit_releases_the_rest(add, receiver, post_due, happen, monkeypatch, app):
    from app.webhooks import delivery

    monkeypatch.setattr(delivery, "BATCH_TIME_LIMIT", -1.0)
    endpoint = add(receiver)
    happen()
    happen()
    queue = delivery.Queue()
    with app.app_context():
        outcomes = delivery.send(endpoint.id, queue.claim_from(queue.due()[0], 16))
    assert [outcome.is_attempt for outcome in outcomes] == [True, False]
    assert post_due() == 1
