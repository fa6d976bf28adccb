"""Send messages: claim, render, send, and record the result; when to try again, and when to give up."""

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
from app.outbox.leases import claim, holding, record_results
from app.outbox.models import ABANDONED, DROPPED, SENT, WAITING, Message
from app.outbox.renderers import Content, EmailMessage, Expired, LogoutMessage, TextMessage
from app.outbox.service import LOGOUT, MAIL, SMS

FIRST_WAITS = tuple(timedelta(seconds=seconds) for seconds in (1, 5, 15, 30))
"""After the first failures; from then on the waits grow with the message's age."""

GROWTH = 4
"""A message waits for a quarter of its age; one that expires no longer than a quarter of the time it has left."""

LONGEST_WAIT = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=1)
"""How long a message that does not expire is tried: a mail server that is repaired within a day loses none."""

COSTLY_WAIT = timedelta(seconds=5)
MOST_COPIES = 2
"""Each further text message costs money, so what may have reached the provider is repeated once (same key)."""

LAST_CHANCE = timedelta(seconds=5)
"""No try is made closer than this to the end of a message's life."""


def next_attempt(
    attempts: int,
    now: datetime,
    *,
    written_at: datetime,
    expires_at: datetime | None,
    wait: timedelta = timedelta(0),
    costly: bool = False,
) -> datetime | None:
    """Return when to try again after ``attempts`` failed ones, or None to give up.

    :param wait: what the other side asks to be waited at least
    :param costly: whether it may have the message, and takes money for a copy
    """
    end = written_at + GIVE_UP_AFTER if expires_at is None else expires_at - LAST_CHANCE
    if costly:
        delay = COSTLY_WAIT
        if attempts >= MOST_COPIES:
            return None
    else:
        delay = max(FIRST_WAITS[min(attempts, len(FIRST_WAITS)) - 1], (now - written_at) / GROWTH)
        delay = min(delay, LONGEST_WAIT)
        if expires_at is not None:
            delay = min(delay, max((end - now) / GROWTH, LAST_CHANCE))
    due = now + max(delay, wait)
    return due if due <= end else None


log = structlog.get_logger()

CONTENT = {MAIL: EmailMessage, SMS: TextMessage, LOGOUT: LogoutMessage}
"""What each channel takes."""

UPDATE = "Install the newer release for this worker as well. Until then workers that have it send the message."

ENOUGH = 1.0
"""Seconds after which the rest of a batch is given back rather than kept waiting."""


@dataclass(frozen=True)
class Outcome:
    """How one try ended: the message's next state, when it is due again, and why it did not leave."""

    message: Message
    state: str
    due: datetime | None = None
    reason: str = ""
    counts: bool = True
    """Whether this was a try at all; False when the channel rested or the worker stops."""
    provider: str = ""
    """Which provider took it."""


def deliver(message_id: str) -> bool:
    """Try to send one message now. Return whether it left; False also when another worker has it or it is settled.

    Runs in an app context. Never raises for what a channel or a renderer does wrong; that is planned again.
    """
    return any(outcome.state == SENT for outcome in deliver_all([message_id]))


def deliver_all(ids: Sequence[str]) -> list[Outcome]:
    """Try to send these messages, as ``send`` does. Messages that are not due are left out."""
    return send(claim(ids))


def send(messages: Sequence[Message]) -> list[Outcome]:
    """Try to send these messages, claimed together, one after the other, and settle them together.

    Return what became of each. What takes longer than ``ENOUGH`` gives the rest back.
    """
    if not messages:
        return []
    began = time.monotonic()
    outcomes: list[Outcome] = []
    with holding(messages) as held:
        known, suppressed = _read(messages), _suppressed(messages)
        log = structlog.get_logger().bind()  # once for all of them: it costs as much as the line itself
        for message in messages:
            if message.channel == MAIL and not message.decoy and message.to in suppressed:
                outcomes.append(_drop(message, suppressed[message.to]))
            elif outcomes and time.monotonic() - began > ENOUGH:  # one is tried in any case
                outcomes.append(_again(message, clock.now(), "worker busy"))
            else:
                outcomes.append(_traced(message, known, log))
        with held.lock:
            record_results(outcomes)
    _count(outcomes)
    return outcomes


def _count(outcomes: Sequence[Outcome]) -> None:
    """Count how these attempts ended, and how long people waited for what has left."""
    for each in outcomes:
        message, how = each.message, each.state
        if how == WAITING:
            how = "failed" if each.counts else "postponed"
        metrics.MESSAGES.count(message.channel, how)
        if how == SENT:
            waited = (clock.now() - message.created_at).total_seconds()
            metrics.DELIVERY.observe(waited, message.channel, "yes" if message.challenge_id else "no")


def _read(messages: Sequence[Message]) -> Mapping[str, Any] | None:
    """Return what these messages are about; None if that failed: then each is read alone and fails alone."""
    try:
        return renderers.read(message for message in messages if not message.decoy)
    except Exception:  # a reader belongs to another package
        log.exception("outbox.cannot_read", messages=len(messages))
        return None
    finally:
        db.session.close()  # no connection is held while a mail server answers


def _suppressed(messages: Sequence[Message]) -> Mapping[str, str]:
    """Return the addresses among these that get no mail, with why; none if that can't be read."""
    try:
        return suppressions.among({each.to for each in messages if each.channel == MAIL and not each.decoy})
    except Exception:
        log.exception("outbox.cannot_read", messages=len(messages))
        return {}
    finally:
        db.session.close()


def _drop(message: Message, why: str) -> Outcome:
    log.warning("message.dropped", **named(message), reason=why)
    return Outcome(message, DROPPED, reason=why)


def _traced(message: Message, known: Mapping[str, Any] | None, log: Any) -> Outcome:
    """Attempt to send a message, as a span that says how it ended and not to whom it went."""
    facts: dict[str, spans.Value] = {"latchkey__kind": message.kind, "latchkey__attempt": message.attempts}
    with spans.span(f"deliver {message.channel}", latchkey__message=message.id, **facts) as note:
        outcome = _attempt(message, known, log)
        note("latchkey.outcome", outcome.state)
    return outcome


def _attempt(message: Message, known: Mapping[str, Any] | None, log: Any) -> Outcome:
    if message.decoy:
        return Outcome(message, DROPPED)
    if message.has_expired(clock.now() + LAST_CHANCE):
        return _expired(message)
    began = time.monotonic()
    try:
        words = _render(message, known)
        if words is None:
            return Outcome(message, DROPPED)
        provider = _hand_over(message, words)
    except Postponed as rest:
        return _again(message, clock.now() + timedelta(seconds=rest.seconds), rest.reason)
    except Expired:
        return _expired(message)
    except Interrupted:
        return _again(message, clock.now(), "worker stopped")
    except Failed as failure:
        return _failed(message, failure)
    except Exception as error:  # unexpected; the rest of the batch is sent all the same
        log.exception("message.not_sent", **named(message))
        return _failed(message, Failed(f"not sent ({type(error).__name__})"))
    log.info("message.sent", **named(message), provider=provider, seconds=round(time.monotonic() - began, 3))
    return Outcome(message, SENT, provider=provider)


def _render(message: Message, known: Mapping[str, Any] | None) -> Content | None:
    """Return the words of a message, with no connection of ours kept busy afterwards.

    :param known: what it is about, by message id, with that of others; None to read it now
    :raises Expired: when there is nothing left to say
    :raises Failed: when its renderer fails, whatever for, or this release has none: the next one may know better
    """
    if not renderers.is_known(message):
        raise Failed("written by a newer release", remedy=UPDATE)
    try:
        words = renderers.render(message, renderers.read([message]) if known is None else known)
    except Expired:
        raise
    except Exception as error:  # a renderer belongs to another package
        log.exception("message.not_rendered", **named(message))
        raise Failed(f"not rendered ({type(error).__name__})") from error
    finally:
        db.session.close()
    if words is not None and not isinstance(words, CONTENT[message.channel]):
        raise Failed(f"not rendered as {message.channel}", permanent=True)
    return words


def _hand_over(message: Message, words: Content) -> str:
    """Send a message and return the name of the provider that took it; "" for an app."""
    if isinstance(words, EmailMessage):
        return mail.send(message, words)[0]
    if isinstance(words, LogoutMessage):
        logout.send(message, words)
        return ""
    return sms.send(message, words)


def _again(message: Message, due: datetime, reason: str) -> Outcome:
    """Give a message back untried; what would be due after its end is given up."""
    if message.has_expired(due):
        return _expired(message)
    return Outcome(message, WAITING, due=due, reason=reason, counts=False)


def _expired(message: Message) -> Outcome:
    why = f"expired ({message.last_error})" if message.last_error else "expired"
    log.warning("message.abandoned", **named(message), reason=why)
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
            costly=failure.taken and message.channel == SMS,
        )
    facts: dict[str, object] = {"reason": failure.reason, "gives_up": due is None}
    if failure.remedy:
        facts["remedy"] = failure.remedy
    log.warning("message.failed", **named(message), **facts)
    return Outcome(message, WAITING if due else ABANDONED, due=due, reason=failure.reason)


def named(message: Message) -> dict[str, object]:
    """Return what a log line may say of a message."""
    return {"message": message.id, "kind": message.kind, "to": message.masked_to, "attempt": message.attempts}
