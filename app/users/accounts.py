"""Create accounts; add, remove and restore identities; hooks for closing an account."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock, i18n
from app.client import ClientContext
from app.db.compiled import update_detached
from app.db.retention import delete_batch
from app.errors import Rejected
from app.extensions import db, execute_update, settings, this_app
from app.users.lookup import TypedIdentity
from app.users.models import AddressChange, Identity, User

if TYPE_CHECKING:
    from flask import Flask


def create_user(*identities: TypedIdentity, confirmed: bool = False) -> User:
    """Create an account with ``identities``.

    :raises Rejected: ``identity_already_associated`` if one of them belongs to another user,
        even if two requests race
    """
    user = User(language=i18n.language(), confirmed_at=clock.now() if confirmed else None)
    with db.session.begin_nested():
        db.session.add(user)
        db.session.flush()
        for identity in identities:
            add_identity(user, identity, confirmed=confirmed)
    return user


def set_name(user: User, name: str) -> None:
    """Set the display name of ``user``, as normalized by ``names.read``; "" removes it."""
    execute_update(sa.update(User).where(User.id == user.id).values(name=name or None))
    update_detached(user, name=name or None)


def add_identity(user: User, identity: TypedIdentity, *, confirmed: bool, primary: bool = True) -> Identity:
    """Add an identity to ``user``.

    :param primary: whether it is the account's primary identity of its kind; there can be only one
    :raises Rejected: ``identity_already_associated`` if it belongs to another user
    """
    confirmed_at = clock.now() if confirmed else None
    named = {"kind": identity.kind, "value": identity.value, "is_primary": primary}
    row = Identity(user_id=user.id, confirmed_at=confirmed_at, **named)
    try:
        with db.session.begin_nested():
            db.session.add(row)
    except IntegrityError as taken:
        raise Rejected("identity_already_associated", field=identity.kind) from taken
    return row


def confirm(user: User, kind: str, value: str) -> bool:
    """Mark the identity as confirmed; return whether this confirms the account.

    An account with an email address is confirmed by that address only: a phone number doesn't prove who owns the
    mailbox. Later identities are stored as confirmed, so only the first confirmation has anything to write.
    """
    if user.confirmed_at is not None:
        return False
    now = clock.now()
    mine = (Identity.user_id == user.id, Identity.kind == kind, Identity.value == value)
    execute_update(sa.update(Identity).where(*mine).values(confirmed_at=now))
    if kind != "email" and "email" in identities_of(user.id):
        return False
    unverified = (User.id == user.id, User.confirmed_at.is_(None))
    if execute_update(sa.update(User).where(*unverified).values(confirmed_at=now)) != 1:
        return False
    update_detached(user, confirmed_at=now)
    return True


def identities_of(user_id: int) -> dict[str, str]:
    """Return the user's identities as a dict of kind to canonical value; of several addresses, the primary one."""
    mine = (Identity.user_id == user_id, Identity.is_primary)
    rows = sa.select(Identity.kind, Identity.value).where(*mine).order_by(Identity.id)
    return {kind: value for kind, value in db.session.execute(rows)}  # noqa: C416 - mypy doesn't treat rows as pairs


def all_identities_of(user_id: int) -> list[Identity]:
    """Return all of the user's identities: addresses, phone and username, the primary one of each kind first."""
    order = (Identity.kind, Identity.is_primary.desc(), Identity.id)
    return list(db.session.scalars(sa.select(Identity).where(Identity.user_id == user_id).order_by(*order)))


def emails_of(user_id: int) -> list[str]:
    """Return the user's verified email addresses, the primary one first."""
    return [row.value for row in all_identities_of(user_id) if row.kind == "email" and row.confirmed_at is not None]


def remove_identities(user: User, kind: str) -> None:
    """Remove this kind of identity from ``user``."""
    db.session.execute(sa.delete(Identity).where(Identity.user_id == user.id, Identity.kind == kind))


def remove_identity(user_id: int, kind: str, value: str) -> bool:
    """Remove a single identity from the user; return whether the user had it."""
    mine = (Identity.user_id == user_id, Identity.kind == kind, Identity.value == value)
    return execute_update(sa.delete(Identity).where(*mine)) == 1


def primary_email(user_id: int) -> str:
    """Return the user's primary email address, else the oldest one; "" without any."""
    mine = (Identity.user_id == user_id, Identity.kind == "email")
    found = sa.select(Identity.value).where(*mine).order_by(Identity.is_primary.desc(), Identity.id)
    return db.session.scalar(found.limit(1)) or ""


def make_primary(user_id: int, email: str) -> bool:
    """Make ``email`` the user's primary address; return whether it is one of their verified addresses."""
    mine = (Identity.user_id == user_id, Identity.kind == "email")
    former = (Identity.is_primary, Identity.value != email)
    execute_update(sa.update(Identity).where(*mine, *former).values(is_primary=False))
    verified = (Identity.value == email, Identity.confirmed_at.is_not(None))
    return execute_update(sa.update(Identity).where(*mine, *verified).values(is_primary=True)) == 1


def is_verified(identity: TypedIdentity) -> bool:
    """Return whether ``identity`` is verified. One SQL statement, whether or not an account has it."""
    has = (Identity.kind == identity.kind, Identity.value == identity.value, Identity.confirmed_at.is_not(None))
    return db.session.scalar(sa.select(Identity.id).where(*has)) is not None


def release_unverified(identity: TypedIdentity) -> bool:
    """Remove ``identity`` from an account that was never verified; return whether there was one.

    That account may have been created in advance to hijack the owner of the address (pre-hijacking). If it has no other
    identity, the whole account is deleted, including everything that was set up or requested in it.
    """
    unverified = (Identity.kind == identity.kind, Identity.value == identity.value, Identity.confirmed_at.is_(None))
    unconfirmed = Identity.user_id.in_(sa.select(User.id).where(User.confirmed_at.is_(None)))
    freed = sa.delete(Identity).where(*unverified, unconfirmed).returning(Identity.user_id)
    owners = db.session.scalars(freed.execution_options(synchronize_session=False)).all()
    for user_id in owners:
        bare = sa.not_(sa.exists().where(Identity.user_id == user_id))
        execute_update(sa.delete(User).where(User.id == user_id, User.confirmed_at.is_(None), bare))
    return bool(owners)


def lock_account(user_id: int) -> None:
    """Lock the user's row until the commit, to serialize changes to an account.

    Uses an UPDATE that changes nothing, because SQLite has no SELECT ... FOR UPDATE and locks only when writing.
    """
    execute_update(sa.update(User).where(User.id == user_id).values(language=User.language))


def store_address_change(
    user_id: int, old: str, new: str, primary_before: str, session_id: str, client: ClientContext
) -> AddressChange:
    """Store a change to a user's addresses.

    :param old: the removed address, or ""
    :param new: the added address, or ""
    :param primary_before: the previous primary address, or ""
    :param session_id: the session that made the change
    """
    row = AddressChange(user_id=user_id, old=old, new=new, primary_before=primary_before, session_id=session_id)
    row.agent, row.address = client.user_agent, client.ip_address
    db.session.add(row)
    db.session.flush()
    return row


def find_change(change_id: str) -> AddressChange | None:
    """Return the change with this ID, undone or not; None if it no longer exists."""
    return db.session.scalars(sa.select(AddressChange).where(AddressChange.id == change_id)).first()


def changes_since(user_id: int, moment: datetime) -> list[AddressChange]:
    """Return the changes to a user's addresses since ``moment`` that haven't been undone, newest first."""
    mine = (AddressChange.user_id == user_id, AddressChange.undone_at.is_(None), AddressChange.created_at >= moment)
    return list(db.session.scalars(sa.select(AddressChange).where(*mine).order_by(AddressChange.created_at.desc())))


def first_change_by(user_id: int, session_ids: Collection[str]) -> AddressChange | None:
    """Return the oldest change by one of these sessions that hasn't been undone."""
    mine = (
        AddressChange.user_id == user_id,
        AddressChange.session_id.in_(session_ids),
        AddressChange.undone_at.is_(None),
    )
    return db.session.scalars(sa.select(AddressChange).where(*mine).order_by(AddressChange.created_at)).first()


def revert(user: User, changes: Sequence[AddressChange]) -> None:
    """Undo these changes, newest first: remove added addresses, restore removed ones and the previous primary one.

    All or nothing. The caller must hold a lock on the user's row.
    :raises Rejected: ``undo_taken`` if a removed address belongs to another account by now
    """
    now = clock.now()
    with db.session.begin_nested():
        for change in changes:
            undo = sa.update(AddressChange).where(AddressChange.id == change.id, AddressChange.undone_at.is_(None))
            if execute_update(undo.values(undone_at=now)) != 1:
                continue
            if change.new:
                remove_identity(user.id, "email", change.new)
            if change.old:
                _restore_email(user, change.old)
        make_primary(user.id, changes[-1].primary_before or primary_email(user.id))


def _restore_email(user: User, email: str) -> None:
    typed = TypedIdentity("email", email)
    release_unverified(typed)
    try:
        add_identity(user, typed, confirmed=True, primary=False)
    except Rejected:
        raise Rejected("undo_taken") from None


def prune_changes() -> int:
    """Delete a batch of changes that can no longer be undone; return the number deleted."""
    old = AddressChange.created_at < clock.now() - settings.change_undo_within
    return delete_batch(db.session, AddressChange, old)


DeletionHook = Callable[[int], None]
"""Called with the ID of the user, whose row is locked, in the transaction that closes the account."""

_REGISTERED = "latchkey.deletion_hooks"


def register_deletion_hook(app: Flask, hook: DeletionHook) -> None:
    """Register a hook for closing an account, to end what would otherwise continue if the deletion is canceled."""
    app.extensions.setdefault(_REGISTERED, []).append(hook)


def deletion_hooks() -> list[DeletionHook]:
    """Return the hooks registered with the current app."""
    return list(this_app().extensions.get(_REGISTERED, ()))
