"""Look up the account behind an identity, and where a passcode for it can be sent.

An identity that nobody has is looked up as the oldest account's: the same rows are found, sent and made into objects,
which takes a measurable time, and then dropped here. ``Plain`` and the joins know nothing of it; ``_FOUND`` decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app import clock
from app.challenges.bindings import browser_meant, is_of_browser
from app.db.compiled import CompiledStatement, Detached
from app.enrollments.catalog import method_of
from app.enrollments.models import Enrollment
from app.sessions.models import KnownDevice
from app.throttling.models import Penalty
from app.users import Identity, TypedIdentity, User

_ROWS = Detached(User, Enrollment)
_user, _enrolled, _at = User.__table__, Enrollment.__table__, Identity.__table__
_named, _browser = _at.alias("named"), KnownDevice.__table__
_has = sa.and_(_enrolled.c.user_id == _user.c.id, _enrolled.c.method.in_([sa.bindparam("method")]))
"""IN, because an index of authenticators alone makes SQLite prepare a statement with ``method = ?`` for each value."""

_typed = sa.and_(_named.c.kind == sa.bindparam("kind"), _named.c.value == sa.bindparam("value"))
_anyone = _user.alias("anyone")
_oldest = sa.select(sa.func.min(_anyone.c.id)).scalar_subquery()
_always = sa.select(sa.literal_column("1").label("one")).subquery("always")
_whom = _always.outerjoin(_named, _typed).join(_user, _user.c.id == sa.func.coalesce(_named.c.user_id, _oldest))
"""Whom the typed identity names, or else the oldest account."""

_own = sa.and_(_at.c.user_id == _user.c.id, _at.c.kind == sa.bindparam("reaches"))
_primary = sa.and_(_own, _at.c.is_primary)
_there = sa.and_(
    _own, sa.case((_named.c.kind == sa.bindparam("reaches"), _at.c.id == _named.c.id), else_=_at.c.is_primary)
)
"""Where the method sends to: the identity that was typed if it is of that kind, or else the primary one."""

_here = sa.and_(
    _browser.c.user_id == _user.c.id,
    is_of_browser(_browser.c.browser),
    _browser.c.first_seen_at.is_not(None), _browser.c.revoked_at.is_(None),
)  # fmt: skip

_held = sa.select(Penalty.__table__.c.until).where(
    Penalty.__table__.c.id == sa.bindparam("bucket"), Penalty.__table__.c.until > sa.bindparam("now")
)
"""Until when the client's network may ask nothing: found along the way, where it costs no statement."""

_FOUND = sum(len(table.columns) for table in _ROWS.tables)
"""Where it stands in a row whom the identity names: None for nobody, whatever else the row holds."""

_BY_USER = CompiledStatement(
    _ROWS.select()
    .add_columns(_user.c.id, _at.c.value, sa.null(), sa.null())
    .select_from(_user.outerjoin(_enrolled, _has).outerjoin(_at, _primary))
    .where(_user.c.id == sa.bindparam("user_id"))
    .limit(1)
)
_BY_IDENTITY = CompiledStatement(
    _ROWS.select()
    .add_columns(_named.c.user_id, _at.c.value, _browser.c.id, _held.scalar_subquery())
    .select_from(_whom.outerjoin(_enrolled, _has).outerjoin(_at, _there).outerjoin(_browser, _here))
    .limit(1)
)
_KNOWN = CompiledStatement(
    _ROWS.select()
    .add_columns(_named.c.user_id, _browser.c.last_seen_at, _browser.c.browser)
    .select_from(_whom.outerjoin(_enrolled, _enrolled.c.user_id == _user.c.id).outerjoin(_browser, _here))
    .order_by(_enrolled.c.created_at)
)


@dataclass(frozen=True, slots=True)
class Destination:
    """A user, the method asked for if they have it, and the address it sends to if there is one.

    :ivar is_known: whether they have signed in from this browser before
    """

    user: User
    enrolled: Enrollment | None
    destination: str
    is_known: bool = False


@dataclass(frozen=True, slots=True)
class LoginCandidate:
    """A user, everything they have set up, and when they last signed in from this browser, to the day.

    :ivar browser: the digest by which they know it, or ""
    """

    user: User | None
    enrolled: list[Enrollment]
    seen_at: datetime | None
    browser: str = ""


NOBODY = LoginCandidate(None, [], None)


def look_up_destination(typed: TypedIdentity | None, method: str, browser: Sequence[str] = ()) -> Destination | None:
    """Find whom ``typed`` names and how ``method`` reaches them. One statement, whoever it is.

    :param browser: the digests by which accounts know it
    """
    return look_up_method(typed, method, browser, "")[0]


def look_up_method(
    typed: TypedIdentity | None, method: str, browser: Sequence[str], bucket: str
) -> tuple[Destination | None, datetime | None]:
    """Do as ``look_up_destination``, and find until when the client may ask nothing; None when it may.

    :param bucket: of the client's network address (``limits.bucket_of``)
    """
    kind, value = (typed.kind, typed.value) if typed else ("", "")
    client: dict[str, Any] = browser_meant(browser) | {"bucket": bucket, "now": clock.now()}
    return _first(_BY_IDENTITY, method, kind=kind, value=value, **client)


def destination_of_user(user_id: int, method: str) -> Destination | None:
    """Find how ``method`` reaches a user who is known already."""
    return _first(_BY_USER, method, user_id=user_id)[0]


def _first(rows: CompiledStatement, method: str, **whom: Any) -> tuple[Destination | None, datetime | None]:
    row = rows.first(method=method, reaches=method_of(method).reaches, **whom)
    if row is None:
        return None, None
    user, enrolled = _ROWS.read(row)
    found, destination, browser, held = row[_FOUND:]
    reached = Destination(user, enrolled, destination or "", browser is not None)
    return (reached if found == user.id else None), held


def look_up(typed: TypedIdentity | None, browser: Sequence[str]) -> LoginCandidate:
    """Find whom ``typed`` names, all they have set up, and whether they have signed in from this browser.

    One statement, whoever it is.
    :param browser: the digests by which accounts know it
    """
    kind, value = (typed.kind, typed.value) if typed else ("", "")
    rows = _KNOWN.all(kind=kind, value=value, **browser_meant(browser))
    if not rows:
        return NOBODY
    read = [_ROWS.read(row) for row in rows]
    enrolled = {each.id: each for _, each in read if each is not None}  # once, by however many secrets it is known
    seen_at, here = rows[0][-2:]
    known = LoginCandidate(read[0][0], list(enrolled.values()), seen_at, here or "")
    return known if known.user and known.user.id == rows[0][_FOUND] else NOBODY
