"""Remind users a day before their account is erased."""

from __future__ import annotations

import sqlalchemy as sa

from app import clock
from app.extensions import changed, db
from app.privacy.deletion import say
from app.privacy.models import Deletion
from app.users import User

BATCH = 100
"""Accounts told in one transaction."""


def remind() -> bool:
    """Have the link sent again for each deletion whose time comes soon. Of two workers one does.

    Return whether there may be more.
    """
    due = (Deletion.remind_at <= clock.now(), Deletion.pseudonym.is_(None))
    soon = (
        sa.select(User.id, User.handle, Deletion.deletes_at)
        .join(Deletion, Deletion.user_id == User.id)
        .where(*due)
        .limit(BATCH)
    )
    found = db.session.execute(soon).all()
    for user_id, handle, deletes_at in found:
        mine = sa.update(Deletion).where(Deletion.user_id == user_id, *due)
        if changed(mine.values(remind_at=None)):
            say("deletion_reminder", user_id, handle, deletes_at)
    return len(found) == BATCH
