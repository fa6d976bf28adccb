"""Unsent messages in the console: waiting for a first attempt, being retried, or given up.

Each of the three groups has a partial index that includes destinations, and pages are read from it. Counts stop at
``COUNTED``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app import clock
from app.errors import Rejected
from app.extensions import db
from app.outbox import Message, leases
from app.outbox.models import ABANDONED

PAGE = 50
COUNTED = 10_000
"""Maximum number of messages counted. Scanning an index of a million rows takes longer than a page may."""

RETRIED_AT_ONCE = 1000
"""Maximum number of messages retried per request. A larger UPDATE would block the workers."""

WAITING, RETRYING = "waiting", "retrying"
GROUPS = (ABANDONED, RETRYING, WAITING)
"""The groups a list can show, in the order in which the page looks for a nonempty one."""

CHANNELS = ("mail", "sms", "logout")

_zero: Any = sa.literal_column("0")
_abandoned: Any = sa.literal_column(f"'{ABANDONED}'")  # literals: a parameter hides partial indexes
_IN_GROUP: dict[str, tuple[sa.ColumnElement[bool], ...]] = {
    WAITING: (Message.attempts == _zero, Message.next_attempt_at.is_not(None)),
    RETRYING: (Message.attempts > _zero, Message.next_attempt_at.is_not(None)),
    ABANDONED: (Message.state == _abandoned,),
}
_ORDER: dict[str, tuple[Any, ...]] = {
    WAITING: (Message.destination, Message.next_attempt_at, Message.id),
    RETRYING: (Message.next_attempt_at, Message.destination, Message.id),
    ABANDONED: (Message.created_at.desc(), Message.destination, Message.id),
}
_CURSOR = re.compile(r"([0-9]{1,16}) ([^ \x00]{0,254}) ([0-9a-f]{32})\Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_APPS, _AFTER_APPS = "app:", "app;"
"""Bounds of the destinations that are apps."""


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Filters of a message list.

    :ivar group: one of ``GROUPS``
    :ivar channel: one of ``CHANNELS``, or ""
    :ivar destination: a mail domain, ``sms``, ``app:`` and the app's ID, or ""
    """

    group: str
    channel: str = ""
    destination: str = ""

    def filters(self) -> list[sa.ColumnElement[bool]]:
        """Return the conditions. The group's index covers every column they use."""
        where = Message.destination
        by_channel: dict[str, sa.ColumnElement[bool]] = {
            "sms": where == "sms",
            "logout": sa.and_(where >= _APPS, where < _AFTER_APPS),
            "mail": sa.and_(where != "sms", sa.or_(where < _APPS, where >= _AFTER_APPS)),
        }
        found = [*_IN_GROUP[self.group]]
        if self.channel:
            found.append(by_channel[self.channel])
        if self.destination:
            found.append(where == self.destination)
        return found


@dataclass(frozen=True, slots=True)
class MessageCount:
    """Number of messages. With ``more``, there are more than ``count``."""

    count: int
    more: bool


def count_of(wanted: MessageFilter) -> MessageCount:
    """Count messages, up to ``COUNTED``."""
    some = sa.select(sa.literal_column("1")).where(*wanted.filters()).limit(COUNTED + 1).subquery()
    found = db.session.scalar(sa.select(sa.func.count()).select_from(some)) or 0
    return MessageCount(min(found, COUNTED), found > COUNTED)


def oldest_of(group: str, counted: MessageCount) -> datetime | None:
    """Return the creation time of the oldest given-up message, or the next due time for the other groups; None for
    none.

    Also None when too many messages wait for a first attempt, because their index is ordered by destination.
    """
    if not counted.count or (group == WAITING and counted.more):
        return None
    at = Message.created_at if group == ABANDONED else Message.next_attempt_at
    return db.session.scalar(sa.select(sa.func.min(at)).where(*_IN_GROUP[group]))


def destinations_of(wanted: MessageFilter, most: int = 10) -> list[dict[str, Any]]:
    """Return the most frequent destinations of these messages: ``destination``, ``count`` and a sample ``reason``.

    Only the first ``COUNTED`` messages are considered, with an index-only scan.
    """
    at = Message.next_attempt_at if wanted.group != ABANDONED else Message.created_at.desc()
    some = sa.select(Message.destination).where(*wanted.filters())
    rows = some.order_by(*((at,) if wanted.group != WAITING else ())).limit(COUNTED).subquery()
    count = sa.func.count().label("count")
    largest = sa.select(rows.c.destination, count).group_by(rows.c.destination)
    largest = largest.order_by(count.desc(), rows.c.destination).limit(most)
    found = [{"destination": row.destination, "count": row[1]} for row in db.session.execute(largest)]
    return [each | {"reason": _sample_reason(wanted, str(each["destination"]))} for each in found]


def _sample_reason(wanted: MessageFilter, destination: str) -> str:
    """Return why a message to a destination failed, from the first matching message in index order."""
    if wanted.group == WAITING:
        return ""
    first = sa.select(Message.last_error).where(*_IN_GROUP[wanted.group], Message.destination == destination)
    return db.session.scalar(first.order_by(_ORDER[wanted.group][0]).limit(1)) or ""


def page_of(wanted: MessageFilter, after: str = "") -> tuple[Sequence[Message], str | None]:
    """Return a page of messages and the cursor of the next page; None on the last page.

    Given-up messages come newest first, retries soonest first, and waiting messages by destination.
    :param after: cursor of this page, from the previous page
    :raises Rejected: ``api_error`` on ``after`` when it isn't a valid cursor
    """
    later = [_after_cursor(wanted.group, after)] if after else []
    found = db.session.scalars(page_statement(wanted).where(*later)).all()
    return found[:PAGE], _encode_cursor(wanted.group, found[PAGE - 1]) if len(found) > PAGE else None


def page_statement(wanted: MessageFilter) -> sa.Select[Message]:
    """Return the statement for the first page plus one extra message."""
    return sa.select(Message).where(*wanted.filters()).order_by(*_ORDER[wanted.group]).limit(PAGE + 1)


def retry(ids: Sequence[str] | None, wanted: MessageFilter) -> int:
    """Retry messages that were given up; return how many.

    :param ids: the messages to retry, or None for all of ``wanted``, at most ``RETRIED_AT_ONCE``
    """
    if ids is None:
        now = clock.now()
        alive = sa.or_(Message.expires_at.is_(None), Message.expires_at > now)
        oldest = sa.select(Message.id).where(*wanted.filters(), alive).order_by(Message.created_at)
        ids = db.session.scalars(oldest.limit(RETRIED_AT_ONCE)).all()
    return len(leases.retry(ids)) if ids else 0


def facts_of(message: Message) -> dict[str, Any]:
    """Return a message as the console shows it: without content, and with its address masked."""
    return {
        "id": message.id,
        "state": message.state,
        "channel": message.channel,
        "kind": message.kind,
        "to": message.masked_to,
        "destination": message.destination,
        "attempts": message.attempts,
        "created_at": message.created_at,
        "next_attempt_at": message.next_attempt_at,
        "expires_at": message.expires_at,
        "reason": message.last_error,
    }


def _after_cursor(group: str, after: str) -> sa.ColumnElement[bool]:
    """Return the condition for rows after a cursor, in the group's order."""
    found = _CURSOR.match(after)
    if not found:
        raise Rejected("api_error", field="after")
    at, destination, number = _EPOCH + timedelta(microseconds=int(found[1])), found[2], found[3]
    if group == WAITING:
        return _after((Message.destination, destination), (Message.next_attempt_at, at), (Message.id, number))
    if group == RETRYING:
        return _after((Message.next_attempt_at, at), (Message.destination, destination), (Message.id, number))
    same_time = _after((Message.destination, destination), (Message.id, number))
    return sa.and_(Message.created_at <= at, sa.or_(Message.created_at < at, same_time))


def _after(*columns: tuple[Any, Any]) -> sa.ColumnElement[bool]:
    """Return the condition for rows greater than these values in lexicographic order."""
    (column, value), *others = columns
    if not others:
        return sa.and_(column > value)
    return sa.and_(column >= value, sa.or_(column > value, _after(*others)))


def _encode_cursor(group: str, message: Message) -> str:
    at = message.created_at if group == ABANDONED else message.next_attempt_at
    assert at is not None
    return f"{(at - _EPOCH) // timedelta(microseconds=1)} {message.destination} {message.id}"
