"""Send limits: per account or phone number, and per unverified address or number across all accounts.

The second kind is needed because each account has its own budget, so every additional account could send the same
amount to a stranger. Requests are counted when they are made, so that the response can report the limit. Messages that
anyone can have sent to any address are counted again when they are sent. Neither depends on whether the address has an
account.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite accepts this INSERT as well

from app import clock, metrics, throttling
from app.audit import record
from app.enrollments.methods import method_of
from app.errors import Rejected
from app.extensions import db, keyring, settings
from app.outbox import Message
from app.outbox.service import SMS
from app.throttling.models import SendWindow

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
REQUESTED, SENT = "asked", "left"
"""What is counted: requests, or messages sent."""

_table = SendWindow.__table__
_c = _table.c

SETUP_PURPOSES = ("setup", "second_setup")
"""Purposes of challenges that set up a phone number."""


def _param(name: str, type_: sa.types.TypeEngine[Any] | None = None) -> sa.BindParameter[Any]:
    return sa.bindparam(name, type_=type_)


_is_hours = _c.id == _param("hour_id", sa.String())
_began = sa.case((_is_hours, _param("hour_ago", _c.began_at.type)), else_=_param("day_ago", _c.began_at.type))
_is_over = sa.or_(_c.began_at <= _began, _c.began_at > _param("soon", _c.began_at.type))
_has_room = _c.count < sa.case((_is_hours, _param("per_hour", sa.Integer())), else_=_param("per_day", sa.Integer()))
_new = insert(_table).values(
    [{"id": _param(name), "began_at": _param("now"), "count": 1} for name in ("hour_id", "day_id")]
)
_COUNT = _new.on_conflict_do_update(
    index_elements=[_c.id],
    set_={
        "count": sa.case((_is_over, 1), else_=_c.count + 1),
        "began_at": sa.case((_is_over, _param("now", _c.began_at.type)), else_=_c.began_at),
    },
    where=sa.or_(_is_over, _has_room),
).returning(_c.id)
_WINDOWS = sa.select(_c.id, _c.began_at, _c.count).where(_c.id.in_((_param("hour_id"), _param("day_id"))))


def take(channel: str, destination: str, network_address: str) -> None:
    """Count a request to send a message to ``destination``, in the current transaction. One statement.

    :raises Rejected: ``too_many_messages`` (429) with ``retry_after`` in seconds when the hourly or daily limit is
        reached; the transaction is rolled back, so that nothing remains of a request that can't be fulfilled
    """
    now = clock.now()
    parameters = _parameters(REQUESTED, channel, destination, now)
    if len(db.session.scalars(_COUNT, parameters).all()) == 2:
        return
    db.session.rollback()
    metrics.REFUSALS.count("messages")
    if throttling.first_in_window("messages", parameters["hour_id"], network_address):
        record("limit.hit", autocommit=True, limit="messages")
    raise Rejected("too_many_messages", status=429, retry_after=_seconds_left(parameters, now))


def within_limits(channel: str, messages: Sequence[Message]) -> list[Message]:
    """Count these messages and return those within the limits of their destinations.

    For messages that anyone can have sent. Each takes one statement in its own transaction.
    """
    now, statement = clock.now(), _COUNT.execution_options(autocommit=True)
    return [
        message
        for message in messages
        if len(db.session.scalars(statement, _parameters(SENT, channel, message.to, now)).all()) == 2
    ]


def _parameters(what: str, channel: str, destination: str, now: datetime) -> dict[str, Any]:
    mails = channel == "mail"
    key = urlsafe_b64encode(hmac.digest(keyring.derive("destinations"), destination.encode(), "sha256")[:12]).decode()
    return {
        "hour_id": f"{what}:hour:{key}",
        "day_id": f"{what}:day:{key}",
        "per_hour": settings.mails_per_hour if mails else settings.sms_per_hour,
        "per_day": settings.mails_per_day if mails else settings.sms_per_day,
        "now": now,
        "hour_ago": now - HOUR,
        "day_ago": now - DAY,
        "soon": now + timedelta(minutes=1),  # a window that starts later was created while the clock was ahead
    }


def _seconds_left(parameters: dict[str, Any], now: datetime) -> int:
    """Return the seconds until both windows have room again."""
    lengths = {
        parameters["hour_id"]: (HOUR, parameters["per_hour"]),
        parameters["day_id"]: (DAY, parameters["per_day"]),
    }
    waits = [0.0]
    for name, began_at, count in db.session.execute(_WINDOWS, parameters):
        length, most = lengths[name]
        if count >= most:
            waits.append((began_at + length - now).total_seconds())
    return max(1, int(max(waits)) + 1)


def lock_names(method: str, purpose: str, subject: str, destination: str) -> list[str]:
    """Return the locks for counting a request: the account's, and for SMS the phone number's.

    A second-factor code only takes the lock of the number, whose budget it uses. It is sent while the answer to the
    first challenge is being stored, and a resend of that challenge holds the account's lock: they would deadlock.
    """
    number = [destination] if method_of(method).sends == SMS else []
    return number if number and purpose == "second" else [subject, *number]


def is_within(method: str, purpose: str, used: Sequence[int], most_open: int, *, is_known: bool) -> bool:
    """Return whether one more message stays within all limits.

    A known device has its own email budget, the same as that of all other browsers together, and a few extra SMS.
    However many browsers claim to be known devices, the total is limited to the sum of both budgets.

    :param used: messages of the hour, messages of the day and open challenges, first of all browsers, then of this one;
        then how often the account started to set up this method within the hour, whether or not a message was sent, so
        that a number already in use counts like a free one
    """
    *of_all, hour, day, open_ones, set_ups = used
    if method_of(method).sends == SMS:
        extra = settings.sms_known_browser if is_known else 0
        most = (settings.sms_per_hour + extra, settings.sms_per_day + extra, most_open + extra)
        return _is_below(of_all, most) and (purpose not in SETUP_PURPOSES or set_ups < settings.sms_setups_per_hour)
    most = (settings.mails_per_hour, settings.mails_per_day, most_open)
    if not is_known:
        return _is_below(of_all, most)
    return _is_below((hour, day, open_ones), most) and _is_below(of_all, [2 * each for each in most])


def _is_below(used: Sequence[int], most: Sequence[int]) -> bool:
    return all(count < figure for count, figure in zip(used, most, strict=True))
