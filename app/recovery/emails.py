"""Notify every address of an account that it is being recovered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import sqlalchemy as sa

from app import outbox, user_agents
from app.audit import record
from app.extensions import db
from app.notifications.challenge_emails import write
from app.notifications.notices import sendable_notices
from app.outbox import EmailMessage, Message, TextMessage
from app.recovery import requests
from app.recovery.models import Recovery
from app.users import Identity

Notice = Literal["started", "reminder", "cancelled", "done"]

BATCH = 100
"""Number of recoveries to send reminders for in one transaction."""


def notify(recovery: Recovery, news: Notice) -> None:
    """Notify every verified mailbox, and every verified phone within the send limits."""
    mine = (Identity.user_id == recovery.user_id, Identity.confirmed_at.is_not(None))
    found = db.session.execute(sa.select(Identity.kind, Identity.value).where(*mine).order_by(Identity.id)).all()
    facts: dict[str, Any] = {"news": news, "recovery": recovery.id}
    for channel, kind in (("mail", "email"), ("sms", "phone")):
        where_to = [value for its_kind, value in found if its_kind == kind]
        outbox.enqueue_each("recovering", channel, where_to, user_id=recovery.user_id, **facts)


def recoveries_of(messages: Sequence[Message]) -> dict[str, Recovery]:
    """Return recoveries by message ID, for messages that may be sent. Send limits take more SQL statements."""
    leaving = sendable_notices(messages)
    ids = {message.id: message.facts["recovery"] for message in messages if message.id in leaving}
    rows = db.session.scalars(sa.select(Recovery).where(Recovery.id.in_(set(ids.values()))))
    found = {row.id: row for row in rows}
    return {message_id: found[its_id] for message_id, its_id in ids.items() if its_id in found}


def recovering(message: Message, recovery: Recovery | None) -> EmailMessage | TextMessage | None:
    """Render what happens, when, and how to cancel it; None for a recovery that ended before this could be sent."""
    if recovery is None:
        return None
    news = message.facts["news"]
    is_open = recovery.cancelled_at is None and recovery.done_at is None
    if news in ("started", "reminder") and not is_open:
        return None
    by = {"browser": user_agents.label(recovery.agent), "at": recovery.requested_at, "address": recovery.address}
    link = requests.cancel_link(recovery) if is_open else None
    return write(message, news=news, ready_at=recovery.ready_at, expires_at=recovery.expires_at, link=link, asked=by)


def remind() -> bool:
    """Remind every channel a day before a recovery can be completed; return whether there may be more.

    With several workers, only one sends each reminder.
    """
    due = requests.due_for_reminder(BATCH)
    for recovery in due:
        wait = recovery.ready_at - recovery.requested_at
        if requests.mark_reminded(recovery.id) and requests.gets_reminder(wait):
            notify(recovery, "reminder")
            record("recovery.reminded", recovery.user_id)
    return len(due) == BATCH
