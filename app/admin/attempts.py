"""Timeline of a sign-in attempt: its events, each with one of a fixed set of reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app import clock, user_agents, user_input
from app.admin.event_texts import fact_name
from app.audit import Event
from app.audit.models import HAS_SUPPORT_ID, IS_UNOWNED
from app.challenges.models import Challenge
from app.extensions import db
from app.i18n import N_, browser_text, gettext
from app.outbox import Message
from app.outbox.models import DROPPED
from app.outbox.reasons import reason_text

REASONS = (
    "queued", "withheld", "sent", "failed", "opened_without_cookie", "wrong_code", "older_code",
    "other_browser", "budget_spent", "expired", "spent", "approved", "refused", "denied", "signed_in", "noted",
)  # fmt: skip
"""All reasons. ``noted`` marks an event that belongs to the attempt but decided nothing."""

TITLES = {
    "queued": N_("Message queued"),
    "withheld": N_("No message sent"),
    "sent": N_("Message sent"),
    "failed": N_("Message not delivered"),
    "opened_without_cookie": N_("Email link opened in another browser"),
    "wrong_code": N_("Wrong code entered"),
    "older_code": N_("Code from an older message entered"),
    "other_browser": N_("Code entered that was requested in another browser"),
    "budget_spent": N_("Code entered while codes were blocked"),
    "expired": N_("Expired code or link"),
    "spent": N_("Code or link used"),
    "approved": N_("Sign-in on another device approved"),
    "refused": N_("Refused"),
    "denied": N_("Reported by the owner, and canceled"),
    "signed_in": N_("Signed in"),
    "noted": N_("Also recorded"),
}
"""Title of each reason on pages."""

WARNINGS = frozenset(
    ("failed", "wrong_code", "older_code", "other_browser", "budget_spent", "expired", "refused", "denied")
)

_BY_NAME = {
    "challenge.sent": "sent", "delivery.failed": "failed",
    "link.opened_unbound": "opened_without_cookie", "link.approved": "approved", "link.refused": "refused",
    "link.denied_by_user": "denied", "sign_in.succeeded": "signed_in", "sign_in.step_up": "spent",
    "factor.added": "spent", "address.confirmed": "spent", "budget.exhausted": "budget_spent", "limit.hit": "refused",
}  # fmt: skip

_DETAILS = {
    "sign_in.step_up": N_("to confirm it's them"),
    "factor.added": N_("to set up a sign-in method"),
    "address.confirmed": N_("to confirm the address"),
    "limit.hit": N_("over a limit"),
    "second_step.failed": N_("in the second step"),
    "budget.exhausted": N_("for the whole account"),
}

_HIDDEN = frozenset(("message", "session", "reason", "outcome"))

_APART = timedelta(minutes=1)
"""Maximum time between a message and the event of the request that wrote it."""

_ATTEMPTS = (
    *("challenge.started", "sign_in.failed", "challenge.failed", "sign_in.succeeded", "sign_in.step_up"),
    "second_step.failed",
)


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One line of a timeline.

    :ivar reason: one of ``REASONS``
    :ivar since: seconds since the attempt began
    :ivar details: further facts, in the reader's language; names and values of facts are as in the events
    """

    at: datetime
    since: float
    reason: str
    details: tuple[str, ...]

    @property
    def detail(self) -> str:
        """The details joined into one string."""
        return "; ".join(self.details)


def as_support_id(text: str) -> str:
    """Normalize a support ID to the form stored in events: no whitespace, upper case."""
    return user_input.compact(text).upper()


def timeline(support_id: str) -> list[TimelineEntry]:
    """Return the attempt that the request with this support ID belongs to, oldest entry first; empty for an unknown ID.

    :param support_id: as typed
    """
    named = events_named(support_id)
    about = {event.challenge_id for event in named if event.challenge_id}
    found = {event.id: event for event in (*named, *_events_about(about, named))}
    events = sorted(found.values(), key=lambda event: (event.at, event.id))
    entries = [(event.at, *_entry_of(event, events)) for event in events]
    entries = sorted(entries + _of_messages(about, events) + _of_challenges(about), key=lambda moment: moment[0])
    return [TimelineEntry(at, (at - entries[0][0]).total_seconds(), reason, details) for at, reason, details in entries]


def events_named(support_id: str) -> Sequence[Event]:
    """Return the events of the request with this support ID (as typed), unordered."""
    wanted = as_support_id(support_id)
    return (
        db.session.scalars(sa.select(Event).where(Event.support_id == wanted, HAS_SUPPORT_ID)).all() if wanted else []
    )


def _events_about(challenges: set[Any], named: Sequence[Event]) -> list[Event]:
    """Return the events about these challenges: those without a user, and those of the challenges' users."""
    if not challenges:
        return []
    about = sa.select(Event).where(Event.challenge_id.in_(challenges))
    unowned = db.session.scalars(about.where(IS_UNOWNED)).all()
    users = {event.user_id for event in (*named, *unowned)} - {None}
    return [*unowned, *(db.session.scalars(about.where(Event.user_id.in_(users))) if users else ())]


def latest(user_id: int, limit: int) -> list[Event]:
    """Return a user's newest events that have a timeline, newest first."""
    mine = sa.select(Event).where(Event.user_id == user_id, Event.support_id != "", Event.name.in_(_ATTEMPTS))
    return list(db.session.scalars(mine.order_by(Event.at.desc(), Event.id.desc()).limit(limit)))


def reason_of(event: Event) -> str:
    """Map an event to one of ``REASONS``."""
    if event.name == "challenge.started":
        return "queued" if event.facts.get("outcome") == "sent" else "withheld"
    if event.name in ("sign_in.failed", "challenge.failed", "second_step.failed"):
        why = str(event.facts.get("reason", ""))
        return why if why in REASONS else "refused"
    return _BY_NAME.get(event.name, "noted")


def _entry_of(event: Event, events: Sequence[Event]) -> tuple[str, tuple[str, ...]]:
    reason = reason_of(event)
    parts = [gettext(_DETAILS[event.name])] if event.name in _DETAILS else []
    if reason == "noted":
        parts.append(event.name)
    if reason == "opened_without_cookie":
        parts.append(_after_delivery(event, events))
    parts += [f"{fact_name(name)} {value}" for name, value in sorted(event.facts.items()) if name not in _HIDDEN]
    if event.name == "delivery.failed":
        parts.append(reason_text(str(event.facts.get("reason", ""))).text)
    if event.user_id is None and event.name in ("challenge.started", "sign_in.failed"):
        parts.append(gettext("no account that can be reached by what was entered"))
    if event.address:
        browser = browser_text(user_agents.label(event.agent))
        facts = {"browser": browser, "address": event.address, "id": event.support_id}
        parts.append(gettext("{browser} at {address}, support ID {id}", **facts))
    return reason, tuple(filter(None, parts))


def _after_delivery(event: Event, events: Sequence[Event]) -> str:
    sent = [each.at for each in events if each.name == "challenge.sent" and each.at <= event.at]
    if not sent:
        return gettext("before delivery")
    seconds = round((event.at - sent[-1]).total_seconds())
    return gettext("{seconds} s after delivery", seconds=seconds)


def _of_messages(about: set[Any], events: Sequence[Event]) -> list[tuple[datetime, str, tuple[str, ...]]]:
    """Return entries for message states that no event records: dropped messages, and messages waiting for a retry."""
    entries: list[tuple[datetime, str, tuple[str, ...]]] = []
    for message in _messages(about, events) if about else ():
        if message.state == DROPPED:
            why = (
                N_("message dropped: no one to send it to")
                if message.decoy
                else N_("message dropped: no longer needed")
            )
            noted = [event.at for event in events if event.at >= message.created_at]  # by the request that wrote it
            at = noted[0] if noted else message.created_at
            entries.append((at, "withheld", (gettext(why), message.kind)))
        elif message.next_attempt_at is not None and message.last_error:
            tried = gettext("try {count} to {address} failed", count=message.attempts, address=message.masked_to)
            details = (gettext("will be tried again"), tried, reason_text(message.last_error).text)
            entries.append((message.next_attempt_at, "queued", details))
    return entries


def _messages(about: set[Any], events: Sequence[Event]) -> Sequence[Message]:
    """Return the messages of these challenges.

    They are found by creation time, since each was written together with one of the events.
    """
    span = Message.created_at.between(events[0].at - _APART, events[-1].at + _APART)
    return db.session.scalars(sa.select(Message).where(Message.challenge_id.in_(about), span)).all()


def _of_challenges(about: set[Any]) -> list[tuple[datetime, str, tuple[str, ...]]]:
    """Return an entry for each challenge that expired unanswered. Its row is kept for a day."""
    over = (Challenge.id.in_(about), Challenge.spent_at.is_(None), Challenge.expires_at <= clock.now())
    ended = db.session.scalars(sa.select(Challenge).where(*over)) if about else ()
    return [(each.expires_at, "expired", (gettext("Tries: {count}", count=each.tries),)) for each in ended]
