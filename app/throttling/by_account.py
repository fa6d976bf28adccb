"""Failed attempts of an account, over all its challenges, methods and addresses.

A guess is counted and committed before it is looked at, by one statement that the database runs alone on its row:
it puts the guess down if the tenth last one is more than an hour old and the twenty-fifth more than a day, and there
were fewer than a hundred in a row, or none for a day; it does nothing otherwise. So the count is exact under any
number of guesses at once, a resend or restart refreshes nothing, and what is refused does not lengthen the wait. Who
proves to be right takes the guess back.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks this INSERT as well

from app import clock
from app.crypto import secrets
from app.db.compiled import CompiledStatement
from app.extensions import changed, settings
from app.throttling.models import FailureCounter
from app.users import subject_of

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
STAMP = 13
"""Characters of a guess's time: milliseconds since 1970."""

ENTRY = 20
"""Characters of a guess in ``failures``: its time, six that are its own, and a comma."""

_table = FailureCounter.__table__
_c = _table.c
_text, _number = sa.String(), sa.Integer()
_entry = sa.bindparam("entry", type_=_text)


def _nth(place: str) -> sa.ColumnElement[str]:
    """The time of an earlier guess, or "", which is older than any time."""
    return sa.func.substr(_c.failures, sa.bindparam(place, type_=_number), STAMP)


_ahead = sa.func.substr(_c.failures, 1, STAMP) > sa.bindparam("soon", type_=_text)
_past = sa.case((_ahead, ""), else_=_c.failures)
"""What the clock wrote while it was ahead says nothing about when: it is dropped as soon as it is right again."""

_rested = sa.or_(_c.touched_at <= sa.bindparam("rested"), _ahead)
_FIRST = (
    insert(_table)
    .values(id=sa.bindparam("row"), user_id=sa.bindparam("whose"), browser=sa.bindparam("known"), agent="")
    .values(failures=_entry, in_a_row=1, touched_at=sa.bindparam("now"))
)
_RESERVE = CompiledStatement(
    _FIRST.on_conflict_do_update(
        index_elements=[_c.id],
        set_={
            "failures": sa.func.substr(_entry + _past, 1, sa.bindparam("keep", type_=_number)),
            "in_a_row": sa.case((_rested, 1), else_=_c.in_a_row + 1),
            "touched_at": sa.bindparam("now"),
        },
        where=sa.and_(
            sa.or_(_ahead, _nth("of_hour") <= sa.bindparam("hour_ago", type_=_text)),
            sa.or_(_ahead, _nth("of_day") <= sa.bindparam("day_ago", type_=_text)),
            sa.or_(_rested, _c.in_a_row < sa.bindparam("most", type_=_number)),
        ),
    ).returning(_c.failures, _c.in_a_row),
    at_once=True,
)
_GIVE_BACK = (
    sa.update(_table)
    .where(_c.id == sa.bindparam("row"))
    .values(failures=sa.func.replace(_c.failures, _entry, ""), in_a_row=0)
)


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """A guess that was counted, and may be looked at.

    :ivar entry: what ``failures`` holds of it
    :ivar is_last: whether no other may follow it for now
    """

    row: str
    entry: str
    is_last: bool


UNLIMITED = LoginAttempt("", "-", False)
"""A guess that nobody counts (``LATCHKEY_LIMITS=off``)."""


def row_id(subject: str, caller: str = "", *, password: bool = False, second: bool = False) -> str:
    """Return the id of the row that holds the failures of ``caller`` at ``subject``.

    :param caller: digest of a known browser, ``sessions`` for whoever is signed in, ``recovery`` for the recovery
        codes, or "" for everybody else
    :param password: strangers' passwords are counted apart: who sprays those stops no codes
    :param second: second steps are counted apart from first proofs
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
) -> LoginAttempt | None:
    """Count one guess at this user's secrets before it is looked at; None when none is left.

    Committed at once: whatever happens next, it has happened. An identity that nobody has costs the same.
    :param browser: digest of the client's browser, if this user knows it: it has guesses of its own
    :param session_id: of the live session that proves itself again: sessions, too, have their own, all of them
        together, or each mail that is read would buy another ten guesses at the app
    :param second: it is a second step
    :param recovery: at the recovery codes: these have a budget of their own, whoever guesses
    """
    if not settings.limits:
        return UNLIMITED
    caller = "recovery" if recovery else "sessions" if session_id else browser
    row = row_id(subject_of(user_id, identity), caller, password=password, second=second)
    per_hour, per_day = settings.failures_per_hour, settings.failures_per_day
    now = clock.now()
    entry = f"{_stamp(0)}{secrets.row_id()[:6]},"
    counted = _RESERVE.first(
        row=row, whose=user_id, known=browser, entry=entry, now=now,
        keep=ENTRY * max(per_hour, per_day), of_hour=ENTRY * (per_hour - 1) + 1,
        of_day=ENTRY * (per_day - 1) + 1, hour_ago=_stamp(3600), day_ago=_stamp(24 * 3600),
        most=settings.failures_in_a_row, rested=now - settings.failures_in_a_row_rest, soon=_stamp(-3600),
    )  # fmt: skip
    if counted is None:
        return None
    failures, in_a_row = counted
    is_last = in_a_row >= settings.failures_in_a_row or _full(failures, per_hour, HOUR) or _full(failures, per_day, DAY)
    return LoginAttempt(row, entry, is_last)


def refund(guess: LoginAttempt) -> None:
    """Take back a guess that was right."""
    if guess is not UNLIMITED:
        changed(_GIVE_BACK, {"row": guess.row, "entry": guess.entry})


def forget(user_id: int) -> int:
    """Forget the failures at this user's account, of everybody and every kind; return how many callers had some."""
    mine = (_c.user_id == user_id, sa.or_(_c.failures != "", _c.in_a_row > 0))
    return changed(sa.update(_table).where(*mine).values(failures="", in_a_row=0))


def _full(failures: str, most: int, window: timedelta) -> bool:
    """Say whether ``most`` failures lie within ``window``."""
    oldest = failures[ENTRY * (most - 1) :][:STAMP]
    return oldest > _stamp(window.total_seconds())


def _stamp(ago: float) -> str:
    """Return the time ``ago`` seconds before now, as text that sorts by time."""
    return f"{int((clock.unix() - ago) * 1000):0{STAMP}d}"
