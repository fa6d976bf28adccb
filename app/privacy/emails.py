"""Emails about exports and deletions. Their links neither sign anyone in nor download anything."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from app import clock
from app.authenticators.presenters import requester_of
from app.challenges.models import Challenge
from app.extensions import db, settings
from app.notifications.challenge_emails import challenges_of, write
from app.notifications.notices import NoticeFacts
from app.outbox import EmailMessage, Message, TextMessage
from app.privacy.models import undo_link
from app.users import Identity, User
from app.users.accounts import changes_since


def export_ready(message: Message) -> EmailMessage | TextMessage | None:
    """Render the email that an export can be downloaded, and until when; None once it has expired."""
    until = datetime.fromisoformat(message.facts["until"])
    if until <= clock.now():
        return None
    return write(message, link=f"{settings.public_url}/my-data", until=until)


def deletion(message: Message, facts: NoticeFacts | None) -> EmailMessage | TextMessage | None:
    """Render the email that the account is closed and when it will be erased, with the link that keeps it."""
    deletes_at = datetime.fromisoformat(message.facts["deletes_at"])
    if facts is None or deletes_at <= clock.now():
        return None
    link = undo_link(message.facts["handle"], deletes_at)
    return write(message, link=link, deletes_at=deletes_at, by=message.facts["by"])


def closed_accounts_of(messages: Sequence[Message]) -> dict[str, tuple[Challenge, User]]:
    """Return the challenge and account of each sign-in by message ID. One more SQL statement than ``challenges_of``."""
    found = {message_id: challenge for message_id, (challenge, _) in challenges_of(messages).items()}
    ids = {challenge.user_id for challenge in found.values()}
    users = {user.id: user for user in db.session.scalars(sa.select(User).where(User.id.in_(ids)))} if ids else {}
    return {
        message_id: (challenge, users[challenge.user_id])
        for message_id, challenge in found.items()
        if challenge.user_id in users
    }


def account_closed(message: Message, facts: tuple[Challenge, User] | None) -> EmailMessage | TextMessage | None:
    """Render the reply to a sign-in to an account that will be deleted: how to keep it; None once it is kept."""
    deletes_at = facts[1].deletes_at if facts else None
    if facts is None or deletes_at is None or deletes_at <= clock.now():
        return None
    challenge, user = facts
    return write(message, link=undo_link(user.handle, deletes_at), deletes_at=deletes_at, asked=requester_of(challenge))


def mailboxes_of(user_id: int) -> list[str]:
    """Return the user's verified email addresses. One statement."""
    return _verified(user_id, "email")


def recently_removed(user_id: int) -> list[str]:
    """Return the email addresses that were removed from the account and can still be restored."""
    since = clock.now() - settings.change_undo_within
    return [change.old for change in changes_since(user_id, since) if change.old]


def phones_of(user_id: int) -> list[str]:
    """Return the user's verified phone numbers. One statement."""
    return _verified(user_id, "phone")


def _verified(user_id: int, kind: str) -> list[str]:
    mine = (Identity.user_id == user_id, Identity.kind == kind, Identity.confirmed_at.is_not(None))
    return list(db.session.scalars(sa.select(Identity.value).where(*mine).order_by(Identity.id)))
