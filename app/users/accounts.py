"""Create accounts; add, remove and undo identities; what ends with an account."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock, i18n
from app.client import ClientContext
from app.db.compiled import note
from app.db.retention import delete_batch
from app.errors import Rejected
from app.extensions import changed, db, settings, this_app
from app.users.lookup import TypedIdentity
from app.users.models import AddressChange, Identity, User

if TYPE_CHECKING:
    from flask import Flask


def create_user(*identities: TypedIdentity, confirmed: bool = False) -> User:
    """Open an account found by ``identities``.

    :raises Rejected: ``identity_already_associated`` when one of them finds another user,
        also when two requests ask at the same moment
    """
    user = User(language=i18n.language(), confirmed_at=clock.now() if confirmed else None)
    with db.session.begin_nested():
        db.session.add(user)
        db.session.flush()
        for identity in identities:
            add_identity(user, identity, confirmed=confirmed)
    return user


def set_name(user: User, name: str) -> None:
    """Let ``user`` be called ``name``, as ``names.read`` has it; "" for nothing in particular."""
    changed(sa.update(User).where(User.id == user.id).values(name=name or None))
    note(user, name=name or None)


def add_identity(user: User, identity: TypedIdentity, *, confirmed: bool, primary: bool = True) -> Identity:
    """Let ``identity`` find ``user``.

    :param primary: whether it stands for the account; no other of its kind may
    :raises Rejected: ``identity_already_associated`` when it finds another user
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
    """Note that ``value`` was proved to be the user's; return whether it is the account's first proof.

    An account with an e-mail address is confirmed by that one: a phone alone does not prove whose mailbox it is.
    Later addresses are stored confirmed, so that only the first proof has anything to write.
    """
    if user.confirmed_at is not None:
        return False
    now = clock.now()
    mine = (Identity.user_id == user.id, Identity.kind == kind, Identity.value == value)
    changed(sa.update(Identity).where(*mine).values(confirmed_at=now))
    if kind != "email" and "email" in identities_of(user.id):
        return False
    unproved = (User.id == user.id, User.confirmed_at.is_(None))
    if changed(sa.update(User).where(*unproved).values(confirmed_at=now)) != 1:
        return False
    note(user, confirmed_at=now)
    return True


def identities_of(user_id: int) -> dict[str, str]:
    """Return the user's identities as kind and canonical value; of several addresses the primary one."""
    mine = (Identity.user_id == user_id, Identity.is_primary)
    rows = sa.select(Identity.kind, Identity.value).where(*mine).order_by(Identity.id)
    return {kind: value for kind, value in db.session.execute(rows)}  # noqa: C416 - rows are no pairs to mypy


def all_identities_of(user_id: int) -> list[Identity]:
    """Return every identity of the user: addresses, phone, username, and of each kind the primary one first."""
    order = (Identity.kind, Identity.is_primary.desc(), Identity.id)
    return list(db.session.scalars(sa.select(Identity).where(Identity.user_id == user_id).order_by(*order)))


def emails_of(user_id: int) -> list[str]:
    """Return the user's proved e-mail addresses, the primary one first."""
    return [row.value for row in all_identities_of(user_id) if row.kind == "email" and row.confirmed_at is not None]


def drop_identity(user: User, kind: str) -> None:
    """Let this kind of identity find ``user`` no longer."""
    db.session.execute(sa.delete(Identity).where(Identity.user_id == user.id, Identity.kind == kind))


def drop_value(user_id: int, kind: str, value: str) -> bool:
    """Let this one identity find the user no longer; return whether it did."""
    mine = (Identity.user_id == user_id, Identity.kind == kind, Identity.value == value)
    return changed(sa.delete(Identity).where(*mine)) == 1


def primary_email(user_id: int) -> str:
    """Return the address that stands for the user: the primary one, or else the oldest; "" without any."""
    mine = (Identity.user_id == user_id, Identity.kind == "email")
    found = sa.select(Identity.value).where(*mine).order_by(Identity.is_primary.desc(), Identity.id)
    return db.session.scalar(found.limit(1)) or ""


def make_primary(user_id: int, email: str) -> bool:
    """Let ``email`` stand for the user instead of the primary address so far; return whether it is theirs."""
    mine = (Identity.user_id == user_id, Identity.kind == "email")
    changed(sa.update(Identity).where(*mine, Identity.is_primary, Identity.value != email).values(is_primary=False))
    proved = (Identity.value == email, Identity.confirmed_at.is_not(None))
    return changed(sa.update(Identity).where(*mine, *proved).values(is_primary=True)) == 1


def is_verified(identity: TypedIdentity) -> bool:
    """Say whether ``identity`` is verified. One statement, whether or not an account has it."""
    has = (Identity.kind == identity.kind, Identity.value == identity.value, Identity.confirmed_at.is_not(None))
    return db.session.scalar(sa.select(Identity.id).where(*has)) is not None


def release_unverified(identity: TypedIdentity) -> bool:
    """Take ``identity`` from an account that never verified anything; return whether there was one.

    That account may have been created to wait for the owner of the address (pre-hijacking). When nothing else finds
    it, it goes whole, with all that was set up or asked for in it.
    """
    unproved = (Identity.kind == identity.kind, Identity.value == identity.value, Identity.confirmed_at.is_(None))
    unconfirmed = Identity.user_id.in_(sa.select(User.id).where(User.confirmed_at.is_(None)))
    freed = sa.delete(Identity).where(*unproved, unconfirmed).returning(Identity.user_id)
    owners = db.session.scalars(freed.execution_options(synchronize_session=False)).all()
    for user_id in owners:
        bare = sa.not_(sa.exists().where(Identity.user_id == user_id))
        changed(sa.delete(User).where(User.id == user_id, User.confirmed_at.is_(None), bare))
    return bool(owners)


def lock_account(user_id: int) -> None:
    """Lock the user's row until the commit: two changes of one account come one after the other.

    An UPDATE that changes nothing, since SQLite has no SELECT ... FOR UPDATE and takes its write lock by writing.
    """
    changed(sa.update(User).where(User.id == user_id).values(language=User.language))


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


DeletionHook = Callable[[int], None]
"""Called with the user's id, in the transaction that closes the account, which is locked."""

_REGISTERED = "latchkey.deletion_hooks"


def register_deletion_hook(app: Flask, hook: DeletionHook) -> None:
    """Register what a feature ends when an account is closed: what would go on if its owner cancelled the deletion."""
    app.extensions.setdefault(_REGISTERED, []).append(hook)


def deletion_hooks() -> list[DeletionHook]:
    """Return what is registered with the app that runs."""
    return list(this_app().extensions.get(_REGISTERED, ()))
