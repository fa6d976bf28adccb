"""Audit log search for administrators: newest first, page by page, each page read from an index.

Events are indexed by time, by account and time, and by support ID. Another index would add a B-tree update to every
sign-in. So a search by name, address or operator scans the newest ``SPAN`` events found by an existing index, and
reports how far back it has searched. The next page continues from there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.audit import Event
from app.audit.models import HAS_SUPPORT_ID
from app.errors import Rejected
from app.extensions import db
from app.user_input import harmless_in_spreadsheets
from app.users import User

PAGE = 50
BATCH = 1000
"""Events read per batch by an export."""

SPAN = 50_000
"""Maximum number of events scanned per page for filters that have no index."""

_CURSOR = re.compile(r"([0-9]{1,16})-([0-9]{1,18})\Z")
"""Microseconds since 1970 (until the year 2286), and the row ID."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Cursor = tuple[datetime, int]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Filters of an audit log search; each filter that is set narrows the result.

    :ivar name: prefix of the event name, such as ``sign_in.``
    :ivar person: the account the events are about
    :ivar actor: the administrator who caused them
    :ivar by_operator: only what was done on the command line
    :ivar since: start of the time range, inclusive; ``before`` is its end, exclusive
    """

    name: str = ""
    person: User | None = None
    actor: User | None = None
    by_operator: bool = False
    support_id: str = ""
    address: str = ""
    since: datetime | None = None
    before: datetime | None = None

    def indexed(self) -> list[sa.ColumnElement[bool]]:
        """Return the conditions that an index covers."""
        found: list[sa.ColumnElement[bool]] = []
        if self.support_id:
            found += [Event.support_id == self.support_id, HAS_SUPPORT_ID]
        if about := self.actor or self.person:
            found.append(Event.user_id == about.id)
        return found

    def begin(self, after: _Cursor | None) -> list[sa.ColumnElement[bool]]:
        """Return the condition for the newest event of a page. It is a single bound, since SQLite uses only one."""
        if after:
            return [Event.at <= after[0], sa.or_(Event.at < after[0], Event.id < after[1])]
        return [Event.at < self.before] if self.before else []

    def end(self, last: _Cursor | None) -> list[sa.ColumnElement[bool]]:
        """Return the condition for the oldest event of a page."""
        if last:
            return [Event.at >= last[0], sa.or_(Event.at > last[0], Event.id >= last[1])]
        return [Event.at >= self.since] if self.since else []

    def others(self) -> list[sa.ColumnElement[bool]]:
        """Return the conditions that must be checked on each event."""
        found: list[sa.ColumnElement[bool]] = []
        if self.name:
            found.append(Event.name.startswith(self.name, autoescape=True))
        if self.actor:  # an administrator's event belongs to their own account; its subject is the affected one
            found.append(Event.name.startswith("admin."))
            if self.person:
                found.append(Event.facts["subject"].as_string() == self.person.handle)
        if self.by_operator:
            found.append(Event.facts["by"].as_string() == "operator")
        if self.address:
            found.append(Event.address == self.address)
        return found


@dataclass(frozen=True, slots=True)
class Found:
    """A page of events.

    :ivar after: cursor of the next page; None on the last page
    :ivar searched_until: time down to which events were searched, when older ones are still unsearched
    """

    events: Sequence[Event]
    after: str | None = None
    searched_until: datetime | None = None


def page_of(wanted: EventFilter, after: str = "", *, most: int = PAGE) -> Found:
    """Return a page of events, newest first. At most two statements.

    :param after: cursor of this page, from the previous page
    :raises Rejected: ``api_error`` on ``after`` when it isn't a valid cursor
    """
    begin, others = [*wanted.indexed(), *wanted.begin(_decode_cursor(after) if after else None)], wanted.others()
    end = _end_of_span([*begin, *wanted.end(None)]) if others else None
    rows = sa.select(Event).where(*begin, *wanted.end(end), *others)
    rows = rows.order_by(Event.at.desc(), Event.id.desc()).limit(most + 1)
    found = db.session.scalars(rows).all()
    if len(found) > most:
        last = found[most - 1]
        return Found(found[:most], _encode_cursor((last.at, last.id)))
    return Found(found, _encode_cursor(end), end[0]) if end else Found(found)


def _end_of_span(indexed: list[sa.ColumnElement[bool]]) -> _Cursor | None:
    """Return the last event that a page scans; None when there are fewer than ``SPAN``."""
    places = sa.select(Event.at, Event.id).where(*indexed).order_by(Event.at.desc(), Event.id.desc())
    row = db.session.execute(places.offset(SPAN - 1).limit(1)).first()
    return (row.at, row.id) if row else None


def _encode_cursor(place: _Cursor) -> str:
    return f"{(place[0] - _EPOCH) // timedelta(microseconds=1)}-{place[1]}"


def _decode_cursor(text: str) -> _Cursor:
    found = _CURSOR.match(text)
    if not found:
        raise Rejected("api_error", field="after")
    return _EPOCH + timedelta(microseconds=int(found[1])), int(found[2])


def cells(event: Event, person: dict[str, Any] | None, facts: str) -> list[str]:
    """Return an event as a spreadsheet row, in the order of ``COLUMNS``."""
    about = person or {"handle": "", "label": ""}
    texts = (event.at.astimezone(UTC).isoformat(), event.name, about["handle"], about["label"], event.address,
             event.agent, event.support_id, event.request_id, facts)  # fmt: skip
    return [harmless_in_spreadsheets(text) for text in texts]


COLUMNS = ("at", "event", "account_id", "account", "address", "browser", "support_id", "request_id", "facts")
