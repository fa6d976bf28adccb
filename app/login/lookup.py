"""Look up the account behind an identity, and where a passcode for it can be sent.

An unknown identity is looked up as if it were the oldest account's: finding rows, transferring them and building
objects takes measurable time, so the same is done and then discarded here. The joins treat both alike; the column at
``_FOUND`` tells whether the identity exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app import clock
from app.challenges.bindings import binding_matches, binding_params
from app.db.compiled import CompiledStatement, Detached
from app.enrollments.methods import method_of
from app.enrollments.models import Enrollment
from app.sessions.models import KnownDevice
from app.throttling.models import Penalty
from app.users import Identity, TypedIdentity, User

_ROWS = Detached(User, Enrollment)
_user, _enrolled, _at = User.__table__, Enrollment.__table__, Identity.__table__
_named, _browser = _at.alias("named"), KnownDevice.__table__
_has = sa.and_(_enrolled.c.user_id == _user.c.id, _enrolled.c.method.in_([sa.bindparam("method")]))
"""IN, since the partial index on authenticator apps makes SQLite prepare ``method = ?`` again for each value."""

_typed = sa.and_(_named.c.kind == sa.bindparam("kind"), _named.c.value == sa.bindparam("value"))
_anyone = _user.alias("anyone")
_oldest = sa.select(sa.func.min(_anyone.c.id)).scalar_subquery()
_always = sa.select(sa.literal_column("1").label("one")).subquery("always")
_account = _always.outerjoin(_named, _typed).join(_user, _user.c.id == sa.func.coalesce(_named.c.user_id, _oldest))
"""The account of the typed identity, or else the oldest account."""

_own = sa.and_(_at.c.user_id == _user.c.id, _at.c.kind == sa.bindparam("reaches"))
_primary = sa.and_(_own, _at.c.is_primary)
_destination = sa.and_(
    _own, sa.case((_named.c.kind == sa.bindparam("reaches"), _at.c.id == _named.c.id), else_=_at.c.is_primary)
)
"""The destination of the method: the typed identity if it is of that kind, or else the primary one."""

_known_browser = sa.and_(
    _browser.c.user_id == _user.c.id,
    binding_matches(_browser.c.browser),
    _browser.c.first_seen_at.is_not(None), _browser.c.revoked_at.is_(None),
)  # fmt: skip

_penalty_end = sa.select(Penalty.__table__.c.until).where(
    Penalty.__table__.c.id == sa.bindparam("bucket"), Penalty.__table__.c.until > sa.bindparam("now")
)
"""When the penalty on the client's network ends. Selected along with the rest, to save a statement."""

_FOUND = sum(len(table.columns) for table in _ROWS.tables)
"""Index of the column with the user id of the identity: None if it is unknown, whatever else the row contains."""

_BY_USER = CompiledStatement(
    _ROWS.select()
    .add_columns(_user.c.id, _at.c.value, sa.null(), sa.null())
    .select_from(_user.outerjoin(_enrolled, _has).outerjoin(_at, _primary))
    .where(_user.c.id == sa.bindparam("user_id"))
    .limit(1)
)
_BY_IDENTITY = CompiledStatement(
    _ROWS.select()
    .add_columns(_named.c.user_id, _at.c.value, _browser.c.id, _penalty_end.scalar_subquery())
    .select_from(_account.outerjoin(_enrolled, _has).outerjoin(_at, _destination).outerjoin(_browser, _known_browser))
    .limit(1)
)
_KNOWN = CompiledStatement(
    _ROWS.select()
    .add_columns(_named.c.user_id, _browser.c.last_seen_at, _browser.c.browser)
    .select_from(_account.outerjoin(_enrolled, _enrolled.c.user_id == _user.c.id).outerjoin(_browser, _known_browser))
    .order_by(_enrolled.c.created_at)
)


@dataclass(frozen=True, slots=True)
class Recipient:
    """The user to send a passcode to, by the method that was requested.

    :ivar enrolled: None if they don't have the method
    :ivar destination: the email or phone number that it sends to, "" for none
    :ivar is_known: whether they have signed in from this browser before
    """

    user: User
    enrolled: Enrollment | None
    destination: str
    is_known: bool = False

    @property
    def can_receive(self) -> bool:
        """Whether a passcode can be sent to them by this method."""
        return self.enrolled is not None and self.destination != ""


@dataclass(frozen=True, slots=True)
class LoginCandidate:
    """A user, all their enrollments, and the day they last signed in from this browser.

    :ivar browser: the digest by which the account knows the browser, or ""
    """

    user: User | None
    enrolled: list[Enrollment]
    seen_at: datetime | None
    browser: str = ""


NOBODY = LoginCandidate(None, [], None)


def look_up_recipient(typed: TypedIdentity | None, method: str, browser: Sequence[str] = ()) -> Recipient | None:
    """Look up the user of an identity, and how ``method`` reaches them. One statement, for unknown identities as well.

    :param browser: the digests by which accounts know the browser
    """
    return look_up_with_penalty(typed, method, browser, "")[0]


def look_up_with_penalty(
    typed: TypedIdentity | None, method: str, browser: Sequence[str], bucket: str
) -> tuple[Recipient | None, datetime | None]:
    """Like ``look_up_recipient``, but also return when the client's penalty ends; None without one.

    :param bucket: bucket of the client's network address (``throttling.bucket_of``)
    """
    kind, value = (typed.kind, typed.value) if typed else ("", "")
    client: dict[str, Any] = binding_params(browser) | {"bucket": bucket, "now": clock.now()}
    return _first(_BY_IDENTITY, method, kind=kind, value=value, **client)


def recipient_of(user_id: int, method: str) -> Recipient | None:
    """Look up how ``method`` reaches a known user."""
    return _first(_BY_USER, method, user_id=user_id)[0]


def _first(rows: CompiledStatement, method: str, **whom: Any) -> tuple[Recipient | None, datetime | None]:
    row = rows.first(method=method, reaches=method_of(method).reaches, **whom)
    if row is None:
        return None, None
    user, enrolled = _ROWS.read(row)
    found, destination, browser, penalized_until = row[_FOUND:]
    recipient = Recipient(user, enrolled, destination or "", browser is not None)
    return (recipient if found == user.id else None), penalized_until


def look_up(typed: TypedIdentity | None, browser: Sequence[str]) -> LoginCandidate:
    """Look up the user of an identity, all their enrollments, and whether they have signed in from this browser.

    One statement, for unknown identities as well.
    :param browser: the digests by which accounts know the browser
    """
    kind, value = (typed.kind, typed.value) if typed else ("", "")
    rows = _KNOWN.all(kind=kind, value=value, **binding_params(browser))
    if not rows:
        return NOBODY
    read = [_ROWS.read(row) for row in rows]
    enrolled = {each.id: each for _, each in read if each is not None}  # rows repeat if several secrets are known
    seen_at, here = rows[0][-2:]
    known = LoginCandidate(read[0][0], list(enrolled.values()), seen_at, here or "")
    return known if known.user and known.user.id == rows[0][_FOUND] else NOBODY
