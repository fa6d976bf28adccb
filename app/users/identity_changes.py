"""Changes of an account's addresses, kept for as long as they can be undone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa

from app import clock
from app.client import ClientContext
from app.db.retention import delete_batch
from app.errors import Rejected
from app.extensions import changed, db, settings
from app.users.accounts import add_identity, drop_value, make_primary, primary_email, release_unverified
from app.users.lookup import TypedIdentity
from app.users.models import AddressChange, User


def note_change(
    user_id: int, old: str, new: str, primary_before: str, session_id: str, client: ClientContext
) -> AddressChange:
    """Keep what was just done to the addresses of a user.

    :param old: the address that went, or ""
    :param new: the address that came, or ""
    :param primary_before: which was the primary one before, or ""
    :param session_id: of the session that did it
    """
    row = AddressChange(user_id=user_id, old=old, new=new, primary_before=primary_before, session_id=session_id)
    row.agent, row.address = client.user_agent, client.ip_address
    db.session.add(row)
    db.session.flush()
    return row


def find_change(change_id: str) -> AddressChange | None:
    """Return the change with this id, undone or not; None when it is forgotten."""
    return db.session.scalars(sa.select(AddressChange).where(AddressChange.id == change_id)).first()


def changes_since(user_id: int, moment: datetime) -> list[AddressChange]:
    """Return what was done to the addresses of a user at ``moment`` and after, and is not undone; the newest first."""
    mine = (AddressChange.user_id == user_id, AddressChange.undone_at.is_(None), AddressChange.created_at >= moment)
    return list(db.session.scalars(sa.select(AddressChange).where(*mine).order_by(AddressChange.created_at.desc())))


def first_change_by(user_id: int, session_ids: Collection[str]) -> AddressChange | None:
    """Return the oldest change by one of these sessions that is not undone."""
    mine = (
        AddressChange.user_id == user_id,
        AddressChange.session_id.in_(session_ids),
        AddressChange.undone_at.is_(None),
    )
    return db.session.scalars(sa.select(AddressChange).where(*mine).order_by(AddressChange.created_at)).first()


def revert(user: User, changes: Sequence[AddressChange]) -> None:
    """Take back these changes, the newest first: what came goes, what went comes back, primary is which was before.

    All or nothing. The caller holds the user's row.
    :raises Rejected: ``undo_taken`` when an address that went is another account's by now
    """
    now = clock.now()
    with db.session.begin_nested():
        for change in changes:
            undo = sa.update(AddressChange).where(AddressChange.id == change.id, AddressChange.undone_at.is_(None))
            if changed(undo.values(undone_at=now)) != 1:
                continue
            if change.new:
                drop_value(user.id, "email", change.new)
            if change.old:
                _bring_back(user, change.old)
        make_primary(user.id, changes[-1].primary_before or primary_email(user.id))


def _bring_back(user: User, email: str) -> None:
    typed = TypedIdentity("email", email)
    release_unverified(typed)
    try:
        add_identity(user, typed, confirmed=True, primary=False)
    except Rejected:
        raise Rejected("undo_taken") from None


def prune_changes() -> int:
    """Delete a batch of changes that can be undone no more; return how many."""
    old = AddressChange.created_at < clock.now() - settings.change_undo_within
    return delete_batch(db.session, AddressChange, old)
