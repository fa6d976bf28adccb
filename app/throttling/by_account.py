"""Limits on failed attempts per account, across all its challenges, methods and network addresses.

An attempt is counted and committed before its passcode is compared, by a single atomic statement on its row. The
statement counts the attempt if there are fewer than ten failures in the hourly window, fewer than 25 in the daily
window, and fewer than a hundred in a row or none for a day. Otherwise it does nothing. So the limits are exact under
any concurrency, and a rejected attempt doesn't extend the wait. Resending or restarting a challenge resets nothing. A
correct attempt is refunded. ADR 13.

A window starts with the first failure. When it ends, its failures still count in the next window, unless the window's
length has passed since the last failure. So no hour contains more than ten failures, wherever it starts, and an hour
after the tenth failure all ten attempts are available again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite accepts this INSERT as well

from app import clock, metrics
from app.db.compiled import CompiledStatement
from app.extensions import execute_update, settings
from app.throttling.models import FailureCounter
from app.users import subject_of

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

_table = FailureCounter.__table__
_c = _table.c
_zero: sa.ColumnElement[int] = sa.literal_column("0")
_one: sa.ColumnElement[int] = sa.literal_column("1")


def _time(name: str) -> sa.BindParameter[datetime]:
    return sa.bindparam(name, type_=_c.touched_at.type)


def _count(name: str) -> sa.BindParameter[int]:
    return sa.bindparam(name, type_=sa.Integer())


_ahead = _c.failed_at > _time("soon")
"""The last failure was counted while the clock was ahead. Such a row no longer counts once the clock is correct."""

_rested = sa.or_(_c.touched_at <= _time("rested"), _ahead)


def _window(name: str) -> tuple[dict[str, sa.ColumnElement[Any]], sa.ColumnElement[int]]:
    """Return the new column values of the ``hour`` or ``day`` window after one more failure, and its failures so far.

    If the current window is over, a new one starts.
    """
    count, before, began_at = _c[f"{name}_count"], _c[f"{name}_before"], _c[f"{name}_began_at"]
    is_open, is_recent = began_at > _time(f"{name}_ago"), _c.failed_at > _time(f"{name}_ago")
    more: dict[str, sa.ColumnElement[Any]] = {
        f"{name}_began_at": sa.case((_ahead, _time("now")), (is_open, began_at), else_=_time("now")),
        f"{name}_count": sa.case((_ahead, _one), (is_open, count + _one), else_=_one),
        f"{name}_before": sa.case((_ahead, _zero), (is_open, before), (is_recent, count), else_=_zero),
    }
    return more, sa.case((_ahead, _zero), (is_open, count + before), (is_recent, count), else_=_zero)


(_hour, _in_hour), (_day, _in_day) = _window("hour"), _window("day")
_FIRST = insert(_table).values(
    id=sa.bindparam("row"), user_id=sa.bindparam("whose"), browser=sa.bindparam("known"), agent="", failures="",
    failed_at=_time("now"), hour_began_at=_time("now"), hour_count=_one, hour_before=_zero,
    day_began_at=_time("now"), day_count=_one, day_before=_zero, in_a_row=_one, touched_at=_time("now"),
)  # fmt: skip
_COUNT = CompiledStatement(
    _FIRST.on_conflict_do_update(
        index_elements=[_c.id],
        set_=_hour
        | _day
        | {
            "failed_at": _time("now"),
            "in_a_row": sa.case((_rested, _one), else_=_c.in_a_row + _one),
            "touched_at": _time("now"),
        },
        where=sa.and_(
            _in_hour < _count("per_hour"),
            _in_day < _count("per_day"),
            sa.or_(_rested, _c.in_a_row < _count("most_in_a_row")),
        ),
    ).returning(
        _c.hour_began_at, _c.hour_count + _c.hour_before, _c.day_began_at, _c.day_count + _c.day_before, _c.in_a_row
    ),
    autocommit=True,
)


def counts_without_attempt() -> dict[str, sa.ColumnElement[int]]:
    """Return column values for an UPDATE that refunds an attempt if it was counted in this row.

    The UPDATE takes its parameters from ``LoginAttempt.refund_parameters``. A window that started after the attempt is
    kept.
    """
    is_its_row = _c.id == sa.bindparam("attempt_row")
    return {
        f"{name}_count": sa.case(
            (sa.and_(is_its_row, _c[f"{name}_began_at"] == _time(f"attempt_{name}")), _c[f"{name}_count"] - _one),
            else_=_c[f"{name}_count"],
        )
        for name in ("hour", "day")
    }


_REFUND = sa.update(_table).where(_c.id == sa.bindparam("attempt_row")).values(in_a_row=0, **counts_without_attempt())


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """An attempt that was counted, and whose passcode may be compared.

    :ivar row: id of its ``FailureCounter``
    :ivar hour, day: start of the windows in which it was counted
    :ivar is_last: whether this attempt reached a limit
    """

    row: str
    hour: datetime
    day: datetime
    is_last: bool

    def refund_parameters(self) -> dict[str, str | datetime]:
        """Return the parameters for a statement that uses ``counts_without_attempt``."""
        return {"attempt_row": self.row, "attempt_hour": self.hour, "attempt_day": self.day}


UNLIMITED = LoginAttempt("", datetime.min.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC), is_last=False)
"""The attempt returned when limits are off (``LATCHKEY_LIMITS=off``)."""


def row_id(subject: str, caller: str = "", *, password: bool = False, second: bool = False) -> str:
    """Return the id of the row that counts ``caller``'s failures for ``subject``.

    :param caller: digest of a known device's cookie, ``sessions`` for reauthentication, ``recovery`` for recovery
        codes, ``devices`` for codes shown by devices, or "" for all other browsers
    :param password: count passwords from unknown browsers separately, so that password spraying doesn't block codes
    :param second: count second factors separately from first ones
    """
    what = "second" if second else "password" if password and not caller else "code"
    return hashlib.sha256(f"{subject}|{caller}|{what}".encode()).hexdigest()


def reserve(
    user_id: int | None,
    identity: str,
    *,
    browser: str = "",
    session_id: str = "",
    password: bool = False,
    second: bool = False,
    recovery: bool = False,
    of_device: bool = False,
) -> LoginAttempt | None:
    """Count one attempt at this user's secrets before they are compared; None if the limit is reached.

    Committed immediately, whatever happens next. An identity without an account costs the same.

    :param browser: digest of the cookie of a known device, which has its own limit
    :param session_id: session that reauthenticates. All sessions share one limit, otherwise each email that someone
        gets to read would allow ten more attempts at the authenticator app
    :param second: it is a second factor
    :param recovery: it is a recovery code; these have one limit across all browsers
    :param of_device: it is a code shown by a device; these have one limit across all sessions
    """
    if not settings.limits:
        return UNLIMITED
    caller = "recovery" if recovery else "devices" if of_device else "sessions" if session_id else browser
    row = row_id(subject_of(user_id, identity), caller, password=password, second=second)
    now = clock.now()
    per_hour, per_day, most = settings.failures_per_hour, settings.failures_per_day, settings.failures_in_a_row
    counted = _COUNT.first(
        row=row, whose=user_id, known=browser, now=now, hour_ago=now - HOUR, day_ago=now - DAY, soon=now + HOUR,
        rested=now - settings.failures_in_a_row_rest, per_hour=per_hour, per_day=per_day, most_in_a_row=most,
    )  # fmt: skip
    if counted is None:
        metrics.REFUSALS.count("account_failures")
        return None
    hour, in_hour, day, in_day, in_a_row = counted
    return LoginAttempt(row, hour, day, is_last=in_hour >= per_hour or in_day >= per_day or in_a_row >= most)


def refund(attempt: LoginAttempt) -> None:
    """Refund an attempt that turned out to be correct."""
    if attempt is not UNLIMITED:
        execute_update(_REFUND, attempt.refund_parameters())


def reset_failures(user_id: int) -> int:
    """Reset all failure counts of this user's account; return how many rows had failures."""
    has_failures = sa.or_(_c.day_count + _c.day_before > 0, _c.in_a_row > 0)
    zeros = dict.fromkeys(("hour_count", "hour_before", "day_count", "day_before", "in_a_row"), 0)
    values = zeros | dict.fromkeys(("failed_at", "hour_began_at", "day_began_at"))
    return execute_update(sa.update(_table).where(_c.user_id == user_id, has_failures).values(**values))
