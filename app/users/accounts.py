"""Open accounts, and give them or take from them the identities that find them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app.database.plain import note
from app.extensions import changed, db
from app.kit import clock
from app.kit.refusals import Refused
from app.users.finding import TypedIdentity
from app.users.models import Identity, User


def create_user(*identities: TypedIdentity, confirmed: bool = False) -> User:
    """Open an account found by ``identities``.

    :raises Refused: ``identity_already_associated`` when one of them finds somebody already,
        also when two requests ask at the same moment
    """
    user = User(confirmed_at=clock.now() if confirmed else None)
    with db.session.begin_nested():
        db.session.add(user)
        db.session.flush()
        for identity in identities:
            add_identity(user, identity, confirmed=confirmed)
    return user


def add_identity(user: User, identity: TypedIdentity, *, confirmed: bool, primary: bool = True) -> Identity:
    """Let ``identity`` find ``user``.

    :param primary: whether it stands for the account; no other of its kind may
    :raises Refused: ``identity_already_associated`` when it finds somebody already
    """
    confirmed_at = clock.now() if confirmed else None
    named = {"kind": identity.kind, "value": identity.value, "is_primary": primary}
    row = Identity(user_id=user.id, confirmed_at=confirmed_at, **named)
    try:
        with db.session.begin_nested():
            db.session.add(row)
    except IntegrityError as taken:
        raise Refused("identity_already_associated", field=identity.kind) from taken
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


def hold(user_id: int) -> None:
    """Hold the user's row until the commit: two changes of one account come one after the other."""
    changed(sa.update(User).where(User.id == user_id).values(language=User.language))
