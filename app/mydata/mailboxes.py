"""Where an account reads its mail."""

from __future__ import annotations

import sqlalchemy as sa

from app.extensions import db
from app.users import Identity


def mailboxes_of(user_id: int) -> list[str]:
    """Return every e-mail address that was proved to be the user's. One statement."""
    proved = (Identity.user_id == user_id, Identity.kind == "email", Identity.confirmed_at.is_not(None))
    return list(db.session.scalars(sa.select(Identity.value).where(*proved).order_by(Identity.id)))
