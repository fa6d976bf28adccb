"""Notify users that an app was signed out of their account, because one of its tokens may have been copied."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from app import outbox
from app.extensions import db, settings
from app.notifications.challenge_emails import write
from app.notifications.notices import NoticeFacts, sendable_notices
from app.oidc.clients import Client
from app.outbox import EmailMessage, Message, TextMessage
from app.users import Identity

KIND = "app_token_reused"

_ADDRESSES = (
    sa.select(Identity.kind, Identity.value)
    .where(Identity.user_id == sa.bindparam("user"), Identity.confirmed_at.is_not(None))
    .where(Identity.kind.in_(("email", "phone")))
    .order_by(Identity.id)
)


def notify_of_reuse(user_id: int, client: Client) -> None:
    """Email every verified address of an account; an account that has none gets a text message.

    An app that registered itself chose its own name, so the message doesn't contain it.
    """
    found = db.session.execute(_ADDRESSES, {"user": user_id}).all()
    mails, numbers = ([value for kind, value in found if kind == wanted] for wanted in ("email", "phone"))
    facts: dict[str, Any] = {"app": client.name if client.is_vetted else ""}
    outbox.enqueue_each(KIND, "mail", mails, user_id=user_id, **facts)
    outbox.enqueue_each(KIND, "sms", [] if mails else numbers, user_id=user_id, **facts)


def token_reused(message: Message, leaving: NoticeFacts | None) -> EmailMessage | TextMessage | None:
    """Say which app was signed out, and where to review apps; None for a text message over the send limits."""
    if leaving is None:
        return None
    return write(message, app=message.facts["app"], when=message.created_at, link=settings.public_url + "/apps")


RENDERERS = {KIND: token_reused}
READS = sendable_notices
