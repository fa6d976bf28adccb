"""What mails about exports and deletions say. None holds a link that signs in or fetches anything."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from app.extensions import db, settings
from app.kit import clock
from app.methods.letters import challenges_of, write
from app.methods.models import Challenge
from app.methods.notices import notices_leaving
from app.methods.showing import asked
from app.mydata.undo_links import undo_link
from app.outbox import Letter, Message, Text, renderer
from app.users import User


@renderer("export_ready")
def export_ready(message: Message) -> Letter | Text | None:
    """Tell the owner of an account that their data can be fetched, and until when; nothing once that is over."""
    until = datetime.fromisoformat(message.facts["until"])
    if until <= clock.now():
        return None
    return write(message, link=f"{settings.origin}/my-data", until=until)


@renderer("deletion_requested", reads=notices_leaving)
@renderer("deletion_reminder", reads=notices_leaving)
def deletion(message: Message, leaves: bool | None) -> Letter | Text | None:
    """Tell the owner of an account that it is closed and when it will be erased, and give the link that keeps it."""
    deletes_at = datetime.fromisoformat(message.facts["deletes_at"])
    if not leaves or deletes_at <= clock.now():
        return None
    link = undo_link(message.facts["handle"], deletes_at)
    return write(message, link=link, deletes_at=deletes_at, by=message.facts["by"])


def closings_of(messages: Sequence[Message]) -> dict[str, tuple[Challenge, User]]:
    """Return by message id who asked to sign in, and to which account. One statement more than ``challenges_of``."""
    found = {message_id: challenge for message_id, (challenge, _) in challenges_of(messages).items()}
    ids = {challenge.user_id for challenge in found.values()}
    users = {user.id: user for user in db.session.scalars(sa.select(User).where(User.id.in_(ids)))} if ids else {}
    return {message_id: (told, users[told.user_id]) for message_id, told in found.items() if told.user_id in users}


@renderer("account_closed", reads=closings_of)
def account_closed(message: Message, told: tuple[Challenge, User] | None) -> Letter | Text | None:
    """Tell someone who wants to sign in to an account that is to be deleted how to keep it; nothing once it is kept."""
    deletes_at = told[1].deletes_at if told else None
    if told is None or deletes_at is None or deletes_at <= clock.now():
        return None
    challenge, user = told
    return write(message, link=undo_link(user.handle, deletes_at), deletes_at=deletes_at, asked=asked(challenge))
