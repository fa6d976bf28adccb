"""Deliver messages: claim, render, send and record the result. Decides when to retry and when to give up."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from app import clock, metrics, spans
from app.extensions import db
from app.outbox import renderers, suppressions
from app.outbox.channels import logout, mail, sms
from app.outbox.channels.attempt import Failed, Interrupted, Postponed
from app.outbox.leases import claim, record_results, sending
from app.outbox.models import ABANDONED, DROPPED, SENT, WAITING, Message
from app.outbox.renderers import Content, EmailMessage, Expired, LogoutMessage, TextMessage
from app.outbox.service import LOGOUT, MAIL, SMS

FIRST_DELAYS = tuple(timedelta(seconds=seconds) for seconds in (1, 5, 15, 30))
"""Delays after the first failures. After that, the delay grows with the message's age."""

DELAY_DIVISOR = 4
"""The delay is a quarter of the message's age and, if the message expires, at most a quarter of its remaining time."""

MAX_WAIT = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=1)
"""How long to retry a message that doesn't expire, so that a mail server outage of up to a day loses none."""

COSTLY_DELAY = timedelta(seconds=5)
MAX_COPIES = 2
"""Attempts for a text message that may already have reached the provider. Each copy costs money, so it is retried
once, with the same idempotency key."""

EXPIRY_MARGIN = timedelta(seconds=5)
"""No attempt is made within this time before a message expires."""


def next_attempt(
    attempts: int,
    now: datetime,
    *,
    written_at: datetime,
    expires_at: datetime | None,
    wait: timedelta = timedelta(0),
    costly: bool = False,
) -> datetime | None:
    """Return when to retry after ``attempts`` failures, or None to give up.

    :param wait: minimum delay, such as the other side asked for
    :param costly: whether the other side may already have the message and charges for a copy
    """
    end = written_at + GIVE_UP_AFTER if expires_at is None else expires_at - EXPIRY_MARGIN
    if costly:
        delay = COSTLY_DELAY
        if attempts >= MAX_COPIES:
            return None
    else:
        delay = max(FIRST_DELAYS[min(attempts, len(FIRST_DELAYS)) - 1], (now - written_at) / DELAY_DIVISOR)
        delay = min(delay, MAX_WAIT)
        if expires_at is not None:
            delay = min(delay, max((end - now) / DELAY_DIVISOR, EXPIRY_MARGIN))
    due = now + max(delay, wait)
    return due if due <= end else None


log = structlog.get_logger()

CONTENT = {MAIL: EmailMessage, SMS: TextMessage, LOGOUT: LogoutMessage}
"""Type of content each channel sends."""

UPDATE_REMEDY = "Install the newer release for this worker as well. Until then workers that have it send the message."

BATCH_TIME_LIMIT = 1.0
"""Seconds after which the rest of a batch is released instead of being kept waiting."""


@dataclass(frozen=True)
class Outcome:
    """Result of one attempt: the message's next state, when it is due again, and why it was not sent."""

    message: Message
    state: str
    due: datetime | None = None
    reason: str = ""
    counts: bool = True
    """Whether it counts as an attempt. False if the channel was paused, or the worker was busy or stopping."""
    provider: str = ""
    """Provider that accepted the message."""


def deliver(message_id: str) -> bool:
    """Try to send one message now; return whether it was sent. False also if another worker has it or it is settled.

    Needs an app context. Errors in channels and renderers never propagate; they are recorded, and retried if it helps.
    """
    return any(outcome.state == SENT for outcome in deliver_all([message_id]))


def deliver_all(ids: Sequence[str]) -> list[Outcome]:
    """Claim these messages and ``send`` them. Messages that are not due are skipped."""
    return send(claim(ids))


def send(messages: Sequence[Message]) -> list[Outcome]:
    """Try to send a claimed batch, one message at a time, and record all results together; return the outcomes.

    Once the batch has taken longer than ``BATCH_TIME_LIMIT``, the remaining messages are released.
    """
    if not messages:
        return []
    began = time.monotonic()
    outcomes: list[Outcome] = []
    with sending(messages) as batch:
        data, suppressed = _read(messages), _suppressed(messages)
        log = structlog.get_logger().bind()  # bind once per batch: it costs as much as logging a line
        for message in messages:
            if message.channel == MAIL and not message.decoy and message.to in suppressed:
                outcomes.append(_dropped(message, suppressed[message.to]))
            elif outcomes and time.monotonic() - began > BATCH_TIME_LIMIT:  # always try at least one
                outcomes.append(_release(message, clock.now(), "worker busy"))
            else:
                outcomes.append(_traced(message, data, log))
        with batch.lock:
            record_results(outcomes)
    _count(outcomes)
    return outcomes


def _count(outcomes: Sequence[Outcome]) -> None:
    """Update the metrics: how these attempts ended, and the delay of messages that were sent."""
    for each in outcomes:
        message, result = each.message, each.state
        if result == WAITING:
            result = "failed" if each.counts else "postponed"
        metrics.MESSAGES.count(message.channel, result)
        if result == SENT:
            waited = (clock.now() - message.created_at).total_seconds()
            metrics.DELIVERY.observe(waited, message.channel, "yes" if message.challenge_id else "no")


def _read(messages: Sequence[Message]) -> Mapping[str, Any] | None:
    """Load the data of these messages; return None on failure, so that each is loaded, and fails, separately."""
    try:
        return renderers.read(message for message in messages if not message.decoy)
    except Exception:  # readers belong to other packages and may raise anything
        log.exception("outbox.cannot_read", messages=len(messages))
        return None
    finally:
        db.session.close()  # don't hold a connection while waiting for a mail server


def _suppressed(messages: Sequence[Message]) -> Mapping[str, str]:
    """Return the suppressed addresses among the recipients, with the reason; empty if they can't be loaded."""
    try:
        return suppressions.reasons_for({each.to for each in messages if each.channel == MAIL and not each.decoy})
    except Exception:
        log.exception("outbox.cannot_read", messages=len(messages))
        return {}
    finally:
        db.session.close()


def _dropped(message: Message, why: str) -> Outcome:
    log.warning("message.dropped", **log_fields(message), reason=why)
    return Outcome(message, DROPPED, reason=why)


def _traced(message: Message, data: Mapping[str, Any] | None, log: Any) -> Outcome:
    """Attempt to send a message in a trace span that records the outcome but not the recipient."""
    facts: dict[str, spans.Value] = {"latchkey__kind": message.kind, "latchkey__attempt": message.attempts}
    with spans.span(f"deliver {message.channel}", latchkey__message=message.id, **facts) as note:
        outcome = _attempt(message, data, log)
        note("latchkey.outcome", outcome.state)
    return outcome


def _attempt(message: Message, data: Mapping[str, Any] | None, log: Any) -> Outcome:
    if message.decoy:
        return Outcome(message, DROPPED)
    if message.has_expired(clock.now() + EXPIRY_MARGIN):
        return _expired(message)
    began = time.monotonic()
    try:
        content = _render(message, data)
        if content is None:
            return Outcome(message, DROPPED)
        provider = _send_content(message, content)
    except Postponed as postponed:
        return _release(message, clock.now() + timedelta(seconds=postponed.seconds), postponed.reason)
    except Expired:
        return _expired(message)
    except Interrupted:
        return _release(message, clock.now(), "worker stopped")
    except Failed as failure:
        return _failed(message, failure)
    except Exception as error:  # unexpected, but must not stop the rest of the batch
        log.exception("message.not_sent", **log_fields(message))
        return _failed(message, Failed(f"not sent ({type(error).__name__})"))
    log.info("message.sent", **log_fields(message), provider=provider, seconds=round(time.monotonic() - began, 3))
    return Outcome(message, SENT, provider=provider)


def _render(message: Message, data: Mapping[str, Any] | None) -> Content | None:
    """Return the content of a message, and release the database connection.

    :param data: data by message id, for this message and possibly others; None to load it now
    :raises Expired: when there is nothing left to say
    :raises Failed: when the renderer fails for any reason, or this release has none, but a newer one may
    """
    if not renderers.is_known(message):
        raise Failed("written by a newer release", remedy=UPDATE_REMEDY)
    try:
        content = renderers.render(message, renderers.read([message]) if data is None else data)
    except Expired:
        raise
    except Exception as error:  # renderers belong to other packages and may raise anything
        log.exception("message.not_rendered", **log_fields(message))
        raise Failed(f"not rendered ({type(error).__name__})") from error
    finally:
        db.session.close()
    if content is not None and not isinstance(content, CONTENT[message.channel]):
        raise Failed(f"not rendered as {message.channel}", permanent=True)
    return content


def _send_content(message: Message, content: Content) -> str:
    """Send a message and return the name of the provider that accepted it; "" for an app."""
    if isinstance(content, EmailMessage):
        return mail.send(message, content)[0]
    if isinstance(content, LogoutMessage):
        logout.send(message, content)
        return ""
    return sms.send(message, content)


def _release(message: Message, due: datetime, reason: str) -> Outcome:
    """Release a message without counting an attempt; abandon it if it would only be due after it expires."""
    if message.has_expired(due):
        return _expired(message)
    return Outcome(message, WAITING, due=due, reason=reason, counts=False)


def _expired(message: Message) -> Outcome:
    why = f"expired ({message.last_error})" if message.last_error else "expired"
    log.warning("message.abandoned", **log_fields(message), reason=why)
    return Outcome(message, ABANDONED, reason=why)


def _failed(message: Message, failure: Failed) -> Outcome:
    due = None
    if not failure.permanent:
        due = next_attempt(
            message.attempts,
            clock.now(),
            written_at=message.created_at,
            expires_at=message.expires_at,
            wait=timedelta(seconds=failure.wait or 0.0),
            costly=failure.maybe_accepted and message.channel == SMS,
        )
    facts: dict[str, object] = {"reason": failure.reason, "gives_up": due is None}
    if failure.remedy:
        facts["remedy"] = failure.remedy
    log.warning("message.failed", **log_fields(message), **facts)
    return Outcome(message, WAITING if due else ABANDONED, due=due, reason=failure.reason)


def log_fields(message: Message) -> dict[str, object]:
    """Return the fields that identify a message in the logs, with the recipient masked."""
    return {"message": message.id, "kind": message.kind, "to": message.masked_to, "attempt": message.attempts}
