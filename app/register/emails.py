"""The invitation email. Its link is created when it is sent."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from app.extensions import db
from app.invitations.models import Invitation
from app.invitations.service import MESSAGE_KIND, link_of, state_of
from app.notifications.challenge_emails import write
from app.outbox import EmailMessage, Message, TextMessage


def invitations_of(messages: Sequence[Message]) -> dict[str, Invitation]:
    """Return the invitation of each message by message id, if it can be accepted. One statement."""
    ids = {message.facts["invitation"] for message in messages}
    found = {row.id: row for row in db.session.scalars(sa.select(Invitation).where(Invitation.id.in_(ids)))}
    open_ones = {its_id for its_id, row in found.items() if state_of(row) == "open"}
    return {
        message.id: found[message.facts["invitation"]]
        for message in messages
        if message.facts["invitation"] in open_ones
    }


def invitation(message: Message, about: Invitation | None) -> EmailMessage | TextMessage | None:
    """Write an invitation with its expiry and link; None if it can no longer be accepted."""
    return write(message, link=link_of(about), until=about.expires_at) if about is not None else None


RENDERERS = {MESSAGE_KIND: invitation}
