"""Post the events that are due, and record the results: when to retry, and when to stop.

Guarantees that only one of several workers posts an event, short of a crash, and that every attempt for an event has
the same id. Their order is not guaranteed. The threads are separate from those for messages, which never wait for them.
"""

from __future__ import annotations

import secrets as random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import sqlalchemy as sa
import structlog

from app import clock, metrics
from app.audit import record
from app.crypto.encryption import DecryptionError
from app.db.compiled import Detached
from app.extensions import db, execute_update
from app.outbox.channels import Interrupted
from app.outbox.leases import LEASE, Due, claim_rows, claiming
from app.outbox.schedule import POLL_INTERVAL, Schedule
from app.outbox.worker import RETRY_DELAY, App
from app.webhooks import event_types, queue, sender, signatures, subscriptions
from app.webhooks.models import ABANDONED, SENDING, SENT, WAITING, WebhookDelivery, WebhookEndpoint
from app.webhooks.sender import Answer

log = structlog.get_logger()

RETRY_DELAYS = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
"""Backoff after each failure, about three days in total, as recommended by Standard Webhooks 1.0.0."""

JITTER = 0.2
"""Fraction by which a wait may be longer, so that deliveries that failed together are not retried together."""

MIN_BACKOFF, MAX_BACKOFF = timedelta(seconds=5), timedelta(minutes=5)
"""How long an endpoint that is down is left alone. Doubles with each further failure."""

FAILING_FOR = timedelta(days=5)
MIN_FAILURES = 10
"""An endpoint that has accepted nothing for ``FAILING_FOR``, with at least this many failures, is disabled."""

BATCH_TIME_LIMIT = 1.0
"""Seconds after which the rest of a batch is released rather than kept waiting."""

GONE, FAILING = "gone", "failing"

_d, _e = WebhookDelivery.__table__, WebhookEndpoint.__table__
_DELIVERIES = Detached(WebhookDelivery)

_first_due = (
    sa.select(sa.func.min(_d.c.next_attempt_at))
    .where(_d.c.endpoint_id == _e.c.id, _d.c.next_attempt_at.is_not(None))
    .scalar_subquery()
)
_may_be_tried = sa.and_(
    _e.c.disabled_at.is_(None), sa.or_(_e.c.rests_until.is_(None), _e.c.rests_until <= sa.bindparam("now"))
)
_FIRST_DUE = sa.select(_e.c.id, _first_due.label("since")).where(_may_be_tried)

_claim_values = {"state": SENDING, "attempts": _d.c.attempts + 1, "last_attempt_at": sa.bindparam("now")}
_is_of_endpoint = (
    _d.c.endpoint_id == sa.bindparam("endpoint"),
    sa.exists().where(_e.c.id == _d.c.endpoint_id, _e.c.disabled_at.is_(None)),
)
_CLAIM = claiming(
    _d.c.id, _d.c.next_attempt_at, wanted=_is_of_endpoint, most=sa.bindparam("most", type_=sa.Integer), **_claim_values
)

_RECORD_RESULT = (
    sa.update(_d)
    .where(_d.c.id == sa.bindparam("which"), _d.c.state == SENDING, _d.c.next_attempt_at == sa.bindparam("lease_end"))
    .values(
        state=sa.bindparam("new_state"),
        next_attempt_at=sa.bindparam("due"),
        last_status=sa.bindparam("status"),
        last_error=sa.bindparam("reason"),
        attempts=_d.c.attempts - sa.bindparam("back"),
    )
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of an attempt.

    :ivar answer: None if nothing was attempted: the endpoint is left alone, or the worker has other work or is stopping
    :ivar due: when it is retried; None if it is settled
    """

    delivery: WebhookDelivery
    answer: Answer | None
    due: datetime | None = None

    @property
    def is_attempt(self) -> bool:
        """Whether this was an attempt at all."""
        return self.answer is not None

    @property
    def state(self) -> str:
        """New state of the delivery."""
        if self.due is not None:
            return WAITING
        return SENT if self.answer is not None and self.answer.is_accepted else ABANDONED


class Queue:
    """The queue for ``Schedule``: events that are due, by endpoint."""

    def due(self) -> list[Due]:
        """Return the endpoints that have events due. One statement, or none while there are no endpoints."""
        if not subscriptions.are_any():
            return []
        now = clock.now()
        found = db.session.execute(_FIRST_DUE, {"now": now}).all()
        db.session.close()
        return [Due(key, False, since, since) for key, since in found if since is not None and since <= now]

    def claim_from(self, which: Due, most: int, *, newest: bool = False) -> list[WebhookDelivery]:
        """Claim at most ``most`` events for this worker, those first that have been due longest.

        A transaction of its own.
        """
        return _claimed(claim_rows(_CLAIM, endpoint=which.destination, most=most))


def _claimed(rows: Sequence[Sequence[Any]]) -> list[WebhookDelivery]:
    db.session.close()  # don't hold a connection while a server responds
    claimed = [delivery for row in rows for delivery in _DELIVERIES.read(row)]
    return sorted(claimed, key=lambda delivery: delivery.id)


def send(endpoint_id: str, deliveries: Sequence[WebhookDelivery]) -> list[Outcome]:
    """Post events that were claimed together, one after the other, and record the results."""
    endpoint = db.session.get(WebhookEndpoint, endpoint_id)
    db.session.close()
    if endpoint is None:  # deleted, along with its deliveries
        return []
    outcomes = list(_attempt_each(endpoint, deliveries))
    _record_outcomes(endpoint, outcomes)
    return outcomes


def send_test(endpoint_id: str) -> Answer | None:
    """Post a ``webhook.test`` now, even to a disabled endpoint; return the result, or None if this process is stopping.

    Connects to another server and commits: for a command, never for a request.
    """
    sample = queue.new_test(endpoint_id)
    sample.state, sample.attempts = SENDING, 1
    sample.last_attempt_at, sample.next_attempt_at = clock.now(), clock.now() + LEASE  # so that no worker claims it
    db.session.add(sample)
    db.session.commit()
    outcomes = send(endpoint_id, [sample])
    return outcomes[0].answer if outcomes else None


def _attempt_each(endpoint: WebhookEndpoint, deliveries: Sequence[WebhookDelivery]) -> Iterator[Outcome]:
    began, must_stop = time.monotonic(), False
    for number, delivery in enumerate(deliveries):
        if must_stop or (number and time.monotonic() - began > BATCH_TIME_LIMIT):  # always try at least one
            yield Outcome(delivery, None, clock.now())
            continue
        outcome = _attempt(endpoint, delivery)
        must_stop = outcome.answer is None or outcome.answer.is_down or outcome.answer.status == sender.HTTP_GONE
        yield outcome


def _attempt(endpoint: WebhookEndpoint, delivery: WebhookDelivery) -> Outcome:
    try:
        answer = post(endpoint, delivery)
    except Interrupted:
        return Outcome(delivery, None, clock.now())
    context = {"endpoint": endpoint.id, "webhook_id": delivery.message_id, "type": delivery.type}
    if answer.is_accepted:
        metrics.WEBHOOKS.count("sent")
        log.info("webhook.sent", **context, status=answer.status)
        return Outcome(delivery, answer)
    due = next_attempt(delivery, answer)
    metrics.WEBHOOKS.count("failed" if due else "abandoned")
    log.warning("webhook.failed", **context, reason=answer.reason, attempts=delivery.attempts, gives_up=due is None)
    return Outcome(delivery, answer, due)


def post(endpoint: WebhookEndpoint, delivery: WebhookDelivery) -> Answer:
    """Post one event to its endpoint.

    :raises Interrupted: if the worker is stopping
    """
    body, now = body_of(delivery), clock.now()
    try:
        secrets = signatures.secrets_of(endpoint, now)
    except DecryptionError:
        return Answer(None, "its secret can't be read")
    timestamp = int(now.timestamp())
    headers = {
        "webhook-id": delivery.message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signatures.signature(secrets, delivery.message_id, timestamp, body),
    }
    return sender.post(endpoint.url, body, headers)


def body_of(delivery: WebhookDelivery) -> bytes:
    """Return the body to post, the same bytes at each attempt."""
    at = delivery.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    data: dict[str, Any] = {"id": delivery.message_id, "user": delivery.subject} | delivery.facts
    if delivery.support_id:
        data["support_id"] = delivery.support_id
    return orjson.dumps({"type": delivery.type, "timestamp": at, "data": data})


def next_attempt(delivery: WebhookDelivery, answer: Answer) -> datetime | None:
    """Return when to retry after a failed attempt, or None to give up."""
    if answer.status == sender.HTTP_GONE or delivery.type == event_types.TEST or delivery.attempts > len(RETRY_DELAYS):
        return None
    wait = RETRY_DELAYS[delivery.attempts - 1] * (1 + JITTER * random.randbelow(1001) / 1000)
    return clock.now() + max(wait, timedelta(seconds=answer.wait))


def _record_outcomes(endpoint: WebhookEndpoint, outcomes: Sequence[Outcome]) -> None:
    """Record the results of these attempts in one transaction. Events that another worker took over are left to it."""
    for outcome in outcomes:
        answer = outcome.answer
        result = (
            (answer.status, answer.reason) if answer else (outcome.delivery.last_status, outcome.delivery.last_error)
        )
        values: dict[str, Any] = {"which": outcome.delivery.id, "lease_end": outcome.delivery.next_attempt_at}
        values |= {"new_state": outcome.state, "due": outcome.due, "back": 0 if outcome.is_attempt else 1}
        execute_update(_RECORD_RESULT, values | {"status": result[0], "reason": result[1]})
    settled = [outcome.delivery.id for outcome in outcomes if outcome.due is None]
    if settled:
        is_settled = (WebhookDelivery.id.in_(settled), WebhookDelivery.next_attempt_at.is_(None))
        execute_update(sa.delete(WebhookDelivery).where(*is_settled, WebhookDelivery.is_forgotten))
    if answers := [outcome.answer for outcome in outcomes if outcome.answer is not None]:
        _update_endpoint(endpoint, answers)
    db.session.commit()


def _update_endpoint(endpoint: WebhookEndpoint, answers: Sequence[Answer]) -> None:
    """Record how the endpoint answered: back off if it is down, disable it if it is gone or has failed for too long."""
    now, last = clock.now(), answers[-1]
    update = sa.update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint.id)
    if any(answer.is_accepted for answer in answers):
        healthy = {"failures": 0, "failing_since": None, "rests_until": None, "last_error": "", "last_sent_at": now}
        execute_update(update.values(healthy))
    if last.is_accepted:
        return
    failed = len(answers) - max((number for number, each in enumerate(answers, 1) if each.is_accepted), default=0)
    failing = {"failures": WebhookEndpoint.failures + failed, "last_error": last.reason[:80]}
    since = sa.func.coalesce(WebhookEndpoint.failing_since, now)
    backoff = {"rests_until": now + _backoff(endpoint.failures + failed, last)} if last.is_down else {}
    execute_update(update.values(failing_since=since, **failing, **backoff))
    if last.status == sender.HTTP_GONE:
        _auto_disable(endpoint.id, GONE)
    else:
        _disable_if_failing(endpoint.id, now)


def _backoff(failures: int, answer: Answer) -> timedelta:
    """Return how long to leave an endpoint alone after this many failures."""
    doubled: timedelta = MIN_BACKOFF * 2 ** min(failures - 1, 10)
    return max(min(doubled, MAX_BACKOFF), timedelta(seconds=answer.wait))


def _disable_if_failing(endpoint_id: str, now: datetime) -> None:
    is_failing = (WebhookEndpoint.failing_since <= now - FAILING_FOR, WebhookEndpoint.failures >= MIN_FAILURES)
    if db.session.scalar(sa.select(sa.exists().where(WebhookEndpoint.id == endpoint_id, *is_failing))):
        _auto_disable(endpoint_id, FAILING)


def disable(endpoint_id: str, reason: str, *, by: str) -> bool:
    """Disable an endpoint, with an event; return False if it already is. Its events wait until it is enabled."""
    enabled = (WebhookEndpoint.id == endpoint_id, WebhookEndpoint.disabled_at.is_(None))
    update = sa.update(WebhookEndpoint).where(*enabled).values(disabled_at=clock.now(), disabled_reason=reason)
    if not execute_update(update):
        return False
    record("webhook.disabled", endpoint=endpoint_id, reason=reason, by=by)
    subscriptions.invalidate()
    return True


def _auto_disable(endpoint_id: str, reason: str) -> None:
    """Disable an endpoint because of how it answers, and log an error."""
    if disable(endpoint_id, reason, by="worker"):
        remedy = f"Look at it, then: flask webhooks enable {endpoint_id}"
        log.error("webhook.endpoint_disabled", endpoint=endpoint_id, reason=reason, remedy=remedy)


# --- the worker's threads -----------------------------------------------------------------------


MAX_CONCURRENT = 32
"""Maximum concurrent requests of one worker. All but one may be to slow endpoints without delaying any other."""

STOP_CHECK_INTERVAL = 0.5
"""Seconds between checks whether the thread should stop."""


class Deliverer:
    """Posts the events that are due. Endpoints take turns, and a slow one gets one request at a time.

    One thread hands out the events, and the threads that post are started when there are any.
    """

    def __init__(self, app: App, stop: threading.Event) -> None:
        self._app = app
        self._stop = stop
        every = app.extensions["latchkey.settings"].outbox_sweep_every.total_seconds()
        self._schedule: Schedule[WebhookDelivery] = Schedule(MAX_CONCURRENT, min(POLL_INTERVAL, every), Queue())
        self.threads: Mapping[str, Callable[[], None]] = {"webhooks": self.run}
        self.wake = self._schedule.wake
        self.close = self._schedule.close

    def run(self) -> None:
        """Post batch after batch until the worker stops, then wait for those in progress."""
        with ThreadPoolExecutor(MAX_CONCURRENT, "webhooks-post") as pool:
            while not self._stop.is_set():
                try:
                    with self._app.app_context():
                        batch = self._schedule.claim_batch(STOP_CHECK_INTERVAL)
                except Exception as error:  # the database is unavailable
                    log.warning("webhooks.cannot_deliver", error=type(error).__name__)
                    self._stop.wait(RETRY_DELAY)
                else:
                    if batch:
                        pool.submit(self._send, *batch)

    def _send(self, endpoint_id: str, deliveries: list[WebhookDelivery]) -> None:
        began, tried = time.monotonic(), 1
        try:
            with self._app.app_context():
                tried = sum(outcome.is_attempt for outcome in send(endpoint_id, deliveries))
        except Exception as error:  # the database is unavailable; rows are due again once their lease ends
            log.warning("webhooks.cannot_settle", error=type(error).__name__)
        finally:
            self._schedule.done(endpoint_id, (time.monotonic() - began) / max(1, tried))
