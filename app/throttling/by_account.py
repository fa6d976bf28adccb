"""Failed attempts of an account, over all its challenges, methods and addresses.

An attempt is counted and committed before its passcode is compared, by one statement that the database runs alone on
its row. It counts the attempt if there are fewer than ten failures in the window of an hour, fewer than 25 in the
window of a day, and fewer than a hundred in a row, or if none was counted for a day; it does nothing otherwise. So the
limits are exact under any number of attempts at once, and a rejected attempt does not lengthen the wait. A resend or
restart refreshes nothing. A right attempt is refunded. ADR 13.

A window begins with the first failure. When it is over, what it counted still counts in the next one, unless its
length has passed since the last failure. So no hour has more than ten failures, wherever it begins, and an hour after
the tenth all ten are free again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks this INSERT as well

from app import clock, metrics
from app.db.compiled import CompiledStatement
from app.extensions import changed, settings
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
"""What was counted while the clock was ahead counts no more once it is right again."""

_rested = sa.or_(_c.touched_at <= _time("rested"), _ahead)


def _window(name: str) -> tuple[dict[str, sa.ColumnElement[Any]], sa.ColumnElement[int]]:
    """Return the columns of the ``hour`` or ``day`` with what they are with one failure more; and its failures so far.

    The next window begins when this one is over.
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
    at_once=True,
)


def counts_without_attempt() -> dict[str, sa.ColumnElement[int]]:
    """Return the counts of a row with an attempt taken back, if it is the attempt's row; else as they are.

    For an UPDATE with the parameters of ``LoginAttempt.of_refund``. A window that has begun since then keeps it.
    """
    its = _c.id == sa.bindparam("attempt_row")
    return {
        f"{name}_count": sa.case(
            (sa.and_(its, _c[f"{name}_began_at"] == _time(f"attempt_{name}")), _c[f"{name}_count"] - _one),
            else_=_c[f"{name}_count"],
        )
        for name in ("hour", "day")
    }


_REFUND = sa.update(_table).where(_c.id == sa.bindparam("attempt_row")).values(in_a_row=0, **counts_without_attempt())


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """An attempt that was counted, and may be compared.

    :ivar row: id of its ``FailureCounter``
    :ivar hour, day: when the windows began in which it was counted
    :ivar is_last: whether no other may follow it for now
    """

    row: str
    hour: datetime
    day: datetime
    is_last: bool

    def of_refund(self) -> dict[str, str | datetime]:
        """Return the parameters of a statement with ``counts_without_attempt`` in it."""
        return {"attempt_row": self.row, "attempt_hour": self.hour, "attempt_day": self.day}


UNLIMITED = LoginAttempt("", datetime.min.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC), is_last=False)
"""An attempt that nobody counts (``LATCHKEY_LIMITS=off``)."""


def row_id(subject: str, caller: str = "", *, password: bool = False, second: bool = False) -> str:
    """Return the id of the row that counts the failures of ``caller`` at ``subject``.

    :param caller: digest of a known device's cookie, ``sessions`` for reauthentication, ``recovery`` for recovery
        codes, ``devices`` for codes that devices show, or "" for all other browsers
    :param password: passwords from those are counted apart, so that spraying them stops no codes
    :param second: second factors are counted apart from first ones
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
    """Count one attempt at this user's secrets before it is compared; None when the limit is reached.

    Committed at once, whatever happens next. An identity without an account costs the same.
    :param browser: digest of the known device's cookie, if it is one: it has attempts of its own
    :param session_id: of the session that reauthenticates: all sessions together have attempts of their own, or each
        email that is read would buy ten more attempts at the app
    :param second: it is a second factor
    :param recovery: it is a recovery code; these have attempts of their own, for every browser
    :param of_device: it is a code that a device shows; these have attempts of their own too, in every session
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
    """Take back an attempt that was right."""
    if attempt is not UNLIMITED:
        changed(_REFUND, attempt.of_refund())


def forget(user_id: int) -> int:
    """Forget the failures at this user's account, of everybody and every kind; return how many callers had some."""
    failed = sa.or_(_c.day_count + _c.day_before > 0, _c.in_a_row > 0)
    none = dict.fromkeys(("hour_count", "hour_before", "day_count", "day_before", "in_a_row"), 0)
    empty = none | dict.fromkeys(("failed_at", "hour_began_at", "day_began_at"))
    return changed(sa.update(_table).where(_c.user_id == user_id, failed).values(**empty))
