"""How many sign-ins, failures and messages there were in each hour: written by workers, read by the console.

Its first page shows them as charts: by hour of a day, or by day of a week or a month.

The hour under way and the one before are counted again each minute. An hour is final once it has been over for an
hour: whatever was written in it is committed by then. Hours that nobody counted, as when no worker ran, are counted
afterwards, the oldest first. Events and messages can be deleted sooner than their counts.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks this INSERT as well

from app import clock
from app.admin.models import StatHour
from app.audit import Event
from app.audit.recorder import OF_SIGN_INS
from app.db.retention import BATCH
from app.errors import Rejected
from app.extensions import changed, db, settings, this_app
from app.outbox.models import Message

NAMES = ("sign_ins", "failures", "emails", "texts", "given_up")
"""What is counted: ``failures`` to sign in, ``emails`` and ``texts`` that a server took, messages ``given_up``."""

HOUR = timedelta(hours=1)

COUNT_EVERY = 60.0
"""Seconds between two counts of a worker, once it has caught up."""

AT_A_TIME = 0.5
"""Seconds after which what is left of the hours before waits for the next sweep."""

_NEXT = "latchkey.statistics_due"
_stat = StatHour.__table__
_event, _message = Event.__table__, Message.__table__

_SIGNED_IN, _FAILED, _SECOND_FAILED = "sign_in.succeeded", "sign_in.failed", "second_step.failed"
_GIVEN_UP = "delivery.failed"

DAY = timedelta(days=1)


def keep_counting() -> bool:
    """Count what is due, in the worker; at most each ``COUNT_EVERY`` unless hours are left from before."""
    known = this_app().extensions
    if time.monotonic() < known.get(_NEXT, 0.0):
        return False
    if count_hours():
        known[_NEXT] = time.monotonic() + COUNT_EVERY
    return False  # what is left waits for the next sweep: other tasks come first


def count_hours() -> bool:
    """Count the two latest hours, and those before that are not final; return whether that is all of them."""
    this, began = hour_of(clock.now()), time.monotonic()
    for hour in (this - HOUR, this):
        _save(hour, is_final=False)
    hour = _first_open(this)
    while hour < this - HOUR:
        _save(hour, is_final=True)
        hour += HOUR
        if time.monotonic() - began > AT_A_TIME:
            break
    return hour >= this - HOUR


def hour_of(moment: datetime) -> datetime:
    """Return the hour, in UTC, that a moment is in."""
    return moment.replace(minute=0, second=0, microsecond=0)


def counts_since(start: datetime) -> dict[datetime, dict[str, int]]:
    """Return the counts of each hour from ``start`` on that was counted."""
    found: dict[datetime, dict[str, int]] = {}
    rows = db.session.execute(sa.select(_stat.c.hour, _stat.c.name, _stat.c.count).where(_stat.c.hour >= start))
    for hour, name, count in rows:
        found.setdefault(hour, {})[name] = count
    return found


def prune_stat_hours() -> int:
    """Delete a batch of counts older than ``LATCHKEY_STATISTICS_KEEP``; return how many. Commits by itself."""
    old = _stat.c.hour < clock.now() - settings.statistics_keep
    hours = sa.select(_stat.c.hour).where(old).order_by(_stat.c.hour).limit(BATCH)
    return changed(sa.delete(StatHour).where(old, _stat.c.hour.in_(hours)).execution_options(at_once=True))


def _first_open(this: datetime) -> datetime:
    """Return the first hour that is not final; hours before it are, or are too old to be kept."""
    final = sa.select(_stat.c.hour).where(_stat.c.name == NAMES[0], _stat.c.is_final)
    last: datetime | None = db.session.scalar(final.order_by(_stat.c.hour.desc()).limit(1))
    if last is not None:
        first = last + HOUR
    else:
        oldest = (sa.select(sa.func.min(_event.c.at)), sa.select(sa.func.min(_message.c.sent_at)))
        first = min((hour_of(each) for query in oldest if (each := db.session.scalar(query))), default=this)
    return max(first, hour_of(clock.now() - settings.statistics_keep))


def _save(hour: datetime, *, is_final: bool) -> None:
    """Count an hour and write that down. A count never goes down: its events may have been deleted meanwhile."""
    counts = _counted(hour)
    rows = [{"hour": hour, "name": name, "count": counts[name], "is_final": is_final} for name in NAMES]
    written = insert(_stat).values(rows)
    new = written.excluded
    most = sa.case((new["count"] > _stat.c.count, new["count"]), else_=_stat.c.count)
    values = {"count": most, "is_final": sa.or_(_stat.c.is_final, new.is_final)}
    statement = written.on_conflict_do_update(index_elements=["hour", "name"], set_=values)
    db.session.execute(statement.execution_options(at_once=True))


def _counted(hour: datetime) -> dict[str, int]:
    """Count an hour: events and messages of that time are found by an index. Two statements."""
    name, purpose, how_many = _event.c.name, Event.facts["purpose"].as_string(), sa.func.count()
    to_sign_in = sa.or_(purpose.is_(None), purpose.in_([each for each in OF_SIGN_INS if each]))
    failed = sa.or_(name == _SECOND_FAILED, sa.and_(name == _FAILED, to_sign_in))
    of_events = sa.select(
        how_many.filter(name == _SIGNED_IN), how_many.filter(failed), how_many.filter(name == _GIVEN_UP)
    ).where(_event.c.at >= hour, _event.c.at < hour + HOUR)
    sign_ins, failures, given_up = db.session.execute(of_events).one()
    channel = _message.c.channel
    of_messages = sa.select(how_many.filter(channel == "mail"), how_many.filter(channel == "sms")).where(
        _message.c.sent_at >= hour, _message.c.sent_at < hour + HOUR
    )
    emails, texts = db.session.execute(of_messages).one()
    return dict(zip(NAMES, (sign_ins, failures, emails, texts, given_up), strict=True))


@dataclass(frozen=True, slots=True)
class Span:
    """A time that charts show: so many hours or days, the one under way included."""

    step: timedelta
    steps: int

    @property
    def unit(self) -> str:
        """``hour`` or ``day``."""
        return "hour" if self.step == HOUR else "day"


SPANS = {"24h": Span(HOUR, 24), "7d": Span(DAY, 7), "30d": Span(DAY, 30)}

STEP, BAR, TALL = 10, 8, 100
"""Of a chart, in units of its own: from bar to bar, how wide a bar is, and how tall the tallest one."""

LOWEST = 2
"""How tall at least the bar of something is that happened at all."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart, in units of the chart."""

    x: int
    y: float
    height: float
    at: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: the counts of one name."""

    name: str
    total: int
    most: int
    bars: tuple[Bar, ...]


def activity(asked: str) -> dict[str, Any]:
    """Return counts: ``span``, ``unit``, ``totals`` by name, and ``rows`` with ``at`` and a count by each name.

    Days are those of UTC.
    :param asked: ``24h``, ``7d``, ``30d``, or "" for the first
    :raises Rejected: ``api_error`` on anything else
    """
    name = asked or next(iter(SPANS))
    if name not in SPANS:
        raise Rejected("api_error", field="span")
    span, now = SPANS[name], hour_of(clock.now())
    last = now if span.step == HOUR else now.replace(hour=0)
    start = last - (span.steps - 1) * span.step
    rows = {start + number * span.step: dict.fromkeys(NAMES, 0) for number in range(span.steps)}
    for hour, counts in counts_since(start).items():
        row = rows.get(hour if span.step == HOUR else hour.replace(hour=0), {})  # none for a clock that was ahead
        for each in row.keys() & counts.keys():
            row[each] += counts[each]
    totals = {each: sum(row[each] for row in rows.values()) for each in NAMES}
    listed = [{"at": at} | row for at, row in rows.items()]
    return {"span": name, "unit": span.unit, "totals": totals, "rows": listed}


def charts_of(found: dict[str, Any]) -> list[Chart]:
    """Return what a page draws of ``activity``, a chart for each name."""
    return [_chart(name, found["rows"]) for name in NAMES]


def _chart(name: str, rows: list[dict[str, Any]]) -> Chart:
    counts = [row[name] for row in rows]
    most = max(counts)
    heights = [max(LOWEST, round(count / most * TALL, 1)) if count else 0 for count in counts]
    bars = (
        Bar(number * STEP + (STEP - BAR) // 2, round(TALL - height, 1), height, row["at"], row[name])
        for number, (row, height) in enumerate(zip(rows, heights, strict=True))
    )
    return Chart(name, sum(counts), most, tuple(bars))
