"""Where a passcode for somebody can go: the enrolled method and the identity it sends to."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from app.database.plain import Plain
from app.extensions import db
from app.methods.models import EnrolledMethod
from app.methods.registry import REGISTRY
from app.users import Identity, TypedIdentity, User

_named = aliased(Identity)
_has = sa.and_(EnrolledMethod.user_id == User.id, EnrolledMethod.method == sa.bindparam("method"))
_at = sa.and_(Identity.user_id == User.id, Identity.kind == sa.bindparam("reaches"))
_ROWS = Plain(User, EnrolledMethod)
_REACHING = (
    _ROWS.select()
    .add_columns(Identity.value)
    .select_from(User)
    .join(EnrolledMethod, _has, isouter=True)
    .join(Identity, _at, isouter=True)
    .limit(1)
)
_BY_USER = _REACHING.where(User.id == sa.bindparam("user_id"))
_BY_IDENTITY = _REACHING.join(_named, _named.user_id == User.id).where(
    _named.kind == sa.bindparam("kind"), _named.value == sa.bindparam("value")
)

_KNOWN = (
    _ROWS.select()
    .select_from(User)
    .join(_named, _named.user_id == User.id)
    .join(EnrolledMethod, EnrolledMethod.user_id == User.id, isouter=True)
    .where(_named.kind == sa.bindparam("kind"), _named.value == sa.bindparam("value"))
    .order_by(EnrolledMethod.created_at)
)


@dataclass(frozen=True, slots=True)
class Reached:
    """A user, the method asked for if they have it, and the address it sends to if there is one."""

    user: User
    enrolled: EnrolledMethod | None
    destination: str


def reach(typed: TypedIdentity | None, method: str) -> Reached | None:
    """Find whom ``typed`` names and how ``method`` reaches them. One statement, whoever it is."""
    kind, value = (typed.kind, typed.value) if typed else ("", "")
    return _first(_BY_IDENTITY, method, kind=kind, value=value)


def reach_user(user_id: int, method: str) -> Reached | None:
    """Find how ``method`` reaches a user who is known already."""
    return _first(_BY_USER, method, user_id=user_id)


def _first(rows: sa.Executable, method: str, **whom: str | int) -> Reached | None:
    found = db.session.execute(rows, {"method": method, "reaches": REGISTRY[method].reaches, **whom}).first()
    if found is None:
        return None
    user, enrolled = _ROWS.read(found)
    return Reached(user, enrolled, found[-1] or "")


def know(typed: TypedIdentity | None) -> tuple[User | None, list[EnrolledMethod]]:
    """Find whom ``typed`` names, and everything they have set up. One statement, whoever it is."""
    kind, value = (typed.kind, typed.value) if typed else ("", "")
    rows = db.session.execute(_KNOWN, {"kind": kind, "value": value}).all()
    read = [_ROWS.read(row) for row in rows]
    return (read[0][0] if read else None), [enrolled for _user, enrolled in read if enrolled is not None]
