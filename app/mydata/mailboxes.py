"""Where the owner of an account is reached."""

from __future__ import annotations

import sqlalchemy as sa

from app.extensions import db, settings
from app.kit import clock
from app.users import Identity
from app.users.changes import changes_since


def mailboxes_of(user_id: int) -> list[str]:
    """Return every e-mail address that was proved to be the user's. One statement."""
    return _proved(user_id, "email")


def lost_lately(user_id: int) -> list[str]:
    """Return the e-mail addresses that went from the account and may still come back: their reader may be its owner."""
    since = clock.now() - settings.change_undo_within
    return [change.old for change in changes_since(user_id, since) if change.old]


def phones_of(user_id: int) -> list[str]:
    """Return every telephone number that was proved to be the user's. One statement."""
    return _proved(user_id, "phone")


def _proved(user_id: int, kind: str) -> list[str]:
    mine = (Identity.user_id == user_id, Identity.kind == kind, Identity.confirmed_at.is_not(None))
    return list(db.session.scalars(sa.select(Identity.value).where(*mine).order_by(Identity.id)))
