"""Where a passcode for somebody can go: the enrolled method and the identity it sends to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.database.hot import Hot
from app.database.plain import Plain
from app.methods.models import EnrolledMethod
from app.methods.registry import REGISTRY
from app.sessions import Standing
from app.users import Identity, TypedIdentity, User

_ROWS = Plain(User, EnrolledMethod)
_user, _enrolled, _at = User.__table__, EnrolledMethod.__table__, Identity.__table__
_named, _browser = _at.alias("named"), Standing.__table__
_has = sa.and_(_enrolled.c.user_id == _user.c.id, _enrolled.c.method == sa.bindparam("method"))
_there = sa.and_(_at.c.user_id == _user.c.id, _at.c.kind == sa.bindparam("reaches"))
_typed = sa.and_(_named.c.kind == sa.bindparam("kind"), _named.c.value == sa.bindparam("value"))

_here = sa.and_(
    _browser.c.user_id == _user.c.id,
    _browser.c.browser == sa.bindparam("browser"),
    _browser.c.first_seen_at.is_not(None), _browser.c.revoked_at.is_(None),
)  # fmt: skip

_ADDRESS = sum(len(table.columns) for table in _ROWS.tables)
"""Where the address stands in a row; the known browser, where it was asked for, comes next."""

_REACHING = _ROWS.select().add_columns(_at.c.value).limit(1)
_BY_USER = Hot(
    _REACHING.select_from(_user.outerjoin(_enrolled, _has).outerjoin(_at, _there)).where(
        _user.c.id == sa.bindparam("user_id")
    )
)
_BY_IDENTITY = Hot(
    _REACHING.add_columns(_browser.c.id)
    .select_from(
        _user.join(_named, _named.c.user_id == _user.c.id)
        .outerjoin(_enrolled, _has)
        .outerjoin(_at, _there)
        .outerjoin(_browser, _here)
    )
    .where(_typed)
)
_KNOWN = Hot(
    _ROWS.select()
    .add_columns(_browser.c.last_seen_at)
    .select_from(
        _user.join(_named, _named.c.user_id == _user.c.id)
        .outerjoin(_enrolled, _enrolled.c.user_id == _user.c.id)
        .outerjoin(_browser, _here)
    )
    .where(_typed)
    .order_by(_enrolled.c.created_at)
)


@dataclass(frozen=True, slots=True)
class Reached:
    """A user, the method asked for if they have it, and the address it sends to if there is one.

    :ivar is_known: whether they have signed in from this browser before
    """

    user: User
    enrolled: EnrolledMethod | None
    destination: str
    is_known: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """A user, everything they have set up, and when they last signed in from this browser, to the day."""

    user: User | None
    enrolled: list[EnrolledMethod]
    seen_at: datetime | None


def reach(typed: TypedIdentity | None, method: str, browser: str = "") -> Reached | None:
    """Find whom ``typed`` names and how ``method`` reaches them. One statement, whoever it is.

    :param browser: the digest by which browsers are known, or ""
    """
    kind, value = (typed.kind, typed.value) if typed else ("", "")
    return _first(_BY_IDENTITY, method, kind=kind, value=value, browser=browser)


def reach_user(user_id: int, method: str) -> Reached | None:
    """Find how ``method`` reaches a user who is known already."""
    return _first(_BY_USER, method, user_id=user_id)


def _first(rows: Hot, method: str, **whom: str | int) -> Reached | None:
    found = rows.first(method=method, reaches=REGISTRY[method].reaches, **whom)
    if found is None:
        return None
    user, enrolled = _ROWS.read(found)
    known = len(found) > _ADDRESS + 1 and found[_ADDRESS + 1] is not None
    return Reached(user, enrolled, found[_ADDRESS] or "", known)


def know(typed: TypedIdentity | None, browser: str) -> Known:
    """Find whom ``typed`` names, all they have set up, and whether they have signed in from this browser.

    One statement, whoever it is.
    :param browser: the digest by which browsers are known, or ""
    """
    kind, value = (typed.kind, typed.value) if typed else ("", "")
    rows = _KNOWN.all(kind=kind, value=value, browser=browser)
    read = [_ROWS.read(row) for row in rows]
    if not read:
        return Known(None, [], None)
    return Known(read[0][0], [enrolled for _user, enrolled in read if enrolled is not None], rows[0][-1])
