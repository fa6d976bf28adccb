"""Where a passcode for somebody can go: the enrolled method and the identity it sends to."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from app.extensions import db
from app.methods.models import EnrolledMethod
from app.methods.registry import REGISTRY
from app.users import Identity, TypedIdentity, User


@dataclass(frozen=True, slots=True)
class Reached:
    """A user, the method asked for if they have it, and the address it sends to if there is one."""

    user: User
    enrolled: EnrolledMethod | None
    destination: str


def reach(typed: TypedIdentity | None, method: str) -> Reached | None:
    """Find whom ``typed`` names and how ``method`` reaches them. One statement, whoever it is."""
    kind, value = (typed.kind, typed.value) if typed else ("", "")
    named = aliased(Identity)
    rows = _reaching(method).join(named, named.user_id == User.id)
    return _first(rows.where(named.kind == kind, named.value == value))


def reach_user(user_id: int, method: str) -> Reached | None:
    """Find how ``method`` reaches a user who is known already."""
    return _first(_reaching(method).where(User.id == user_id))


def _reaching(method: str) -> sa.Select[tuple[User, EnrolledMethod, str]]:
    reaches = REGISTRY[method].reaches
    has = sa.and_(EnrolledMethod.user_id == User.id, EnrolledMethod.method == method)
    at = sa.and_(Identity.user_id == User.id, Identity.kind == reaches)
    rows = sa.select(User, EnrolledMethod, Identity.value)
    return rows.join(EnrolledMethod, has, isouter=True).join(Identity, at, isouter=True)


def _first(rows: sa.Select[tuple[User, EnrolledMethod, str]]) -> Reached | None:
    found = db.session.execute(rows.limit(1)).first()
    return Reached(found[0], found[1], found[2] or "") if found else None
