"""Hourly counts of sign-ins, failures and messages, written by workers and read by the console.

The console's home page charts them by hour for a day, or by day for a week or a month.

The current hour and the previous one are recounted every minute. An hour becomes final an hour after its end, when
everything written in it has been committed. Hours that weren't counted because no worker was running are counted later,
oldest first. Events and messages may be deleted before their counts.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite supports this INSERT as well

from app import clock
from app.admin.models import StatHour
from app.audit import Event
from app.audit.recorder import SIGN_IN_PURPOSES
from app.db.retention import BATCH
from app.errors import Rejected
from app.extensions import db, execute_update, settings, this_app
from app.outbox.models import Message

NAMES = ("sign_ins", "failures", "emails", "texts", "given_up")
"""What is counted: ``failures`` to sign in, ``emails`` and ``texts`` accepted by a server, messages ``given_up``."""

HOUR = timedelta(hours=1)

COUNT_EVERY = 60.0
"""Seconds between a worker's counts, once it has caught up."""

AT_A_TIME = 0.5
"""Seconds after which the remaining past hours are left to the next sweep."""

_NEXT = "latchkey.statistics_due"
_stat = StatHour.__table__
_event, _message = Event.__table__, Message.__table__

_SIGNED_IN, _FAILED, _SECOND_FAILED = "sign_in.succeeded", "sign_in.failed", "second_step.failed"
_GIVEN_UP = "delivery.failed"

DAY = timedelta(days=1)


def keep_counting() -> bool:
    """Count what is due, in the worker; at most once per ``COUNT_EVERY``, unless past hours are left to count."""
    known = this_app().extensions
    if time.monotonic() < known.get(_NEXT, 0.0):
        return False
    if count_hours():
        known[_NEXT] = time.monotonic() + COUNT_EVERY
    return False  # the rest waits for the next sweep, so that other tasks run first


def count_hours() -> bool:
    """Count the two latest hours and any earlier ones that aren't final; return whether none are left."""
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
    """Return the start of the hour, in UTC, that contains ``moment``."""
    return moment.replace(minute=0, second=0, microsecond=0)


def counts_since(start: datetime) -> dict[datetime, dict[str, int]]:
    """Return the counts of each counted hour from ``start`` on."""
    found: dict[datetime, dict[str, int]] = {}
    rows = db.session.execute(sa.select(_stat.c.hour, _stat.c.name, _stat.c.count).where(_stat.c.hour >= start))
    for hour, name, count in rows:
        found.setdefault(hour, {})[name] = count
    return found


def prune_stat_hours() -> int:
    """Delete a batch of counts older than ``LATCHKEY_STATISTICS_KEEP`` in its own transaction; return how many."""
    old = _stat.c.hour < clock.now() - settings.statistics_keep
    hours = sa.select(_stat.c.hour).where(old).order_by(_stat.c.hour).limit(BATCH)
    return execute_update(sa.delete(StatHour).where(old, _stat.c.hour.in_(hours)).execution_options(autocommit=True))


def _first_open(this: datetime) -> datetime:
    """Return the earliest hour that isn't final. Earlier hours are final or past their retention."""
    final = sa.select(_stat.c.hour).where(_stat.c.name == NAMES[0], _stat.c.is_final)
    last: datetime | None = db.session.scalar(final.order_by(_stat.c.hour.desc()).limit(1))
    if last is not None:
        first = last + HOUR
    else:
        oldest = (sa.select(sa.func.min(_event.c.at)), sa.select(sa.func.min(_message.c.sent_at)))
        first = min((hour_of(each) for query in oldest if (each := db.session.scalar(query))), default=this)
    return max(first, hour_of(clock.now() - settings.statistics_keep))


def _save(hour: datetime, *, is_final: bool) -> None:
    """Count an hour and store the result. A stored count never decreases, since events may have been deleted since."""
    counts = _counted(hour)
    rows = [{"hour": hour, "name": name, "count": counts[name], "is_final": is_final} for name in NAMES]
    written = insert(_stat).values(rows)
    new = written.excluded
    most = sa.case((new["count"] > _stat.c.count, new["count"]), else_=_stat.c.count)
    values = {"count": most, "is_final": sa.or_(_stat.c.is_final, new.is_final)}
    statement = written.on_conflict_do_update(index_elements=["hour", "name"], set_=values)
    db.session.execute(statement.execution_options(autocommit=True))


def _counted(hour: datetime) -> dict[str, int]:
    """Count an hour. Events and messages are found by an index on their time. Two statements."""
    name, purpose, how_many = _event.c.name, Event.facts["purpose"].as_string(), sa.func.count()
    to_sign_in = sa.or_(purpose.is_(None), purpose.in_([each for each in SIGN_IN_PURPOSES if each]))
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
    """Time range of a chart: a number of hours or days, including the current one."""

    step: timedelta
    steps: int

    @property
    def unit(self) -> str:
        """``hour`` or ``day``."""
        return "hour" if self.step == HOUR else "day"


SPANS = {"24h": Span(HOUR, 24), "7d": Span(DAY, 7), "30d": Span(DAY, 30)}

STEP, BAR, TALL = 10, 8, 100
"""Chart dimensions, in chart units: distance between bars, width of a bar, and height of the tallest bar."""

LOWEST = 2
"""Minimum height of a nonzero bar."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart, in chart units."""

    x: int
    y: float
    height: float
    at: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of the counts of one name."""

    name: str
    total: int
    most: int
    bars: tuple[Bar, ...]


def activity(asked: str) -> dict[str, Any]:
    """Return counts: ``span``, ``unit``, ``totals`` by name, and ``rows`` with ``at`` and a count for each name.

    Days are UTC days.
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
        row = rows.get(hour if span.step == HOUR else hour.replace(hour=0), {})  # missing if that clock was ahead
        for each in row.keys() & counts.keys():
            row[each] += counts[each]
    totals = {each: sum(row[each] for row in rows.values()) for each in NAMES}
    listed = [{"at": at} | row for at, row in rows.items()]
    return {"span": name, "unit": span.unit, "totals": totals, "rows": listed}


def charts_of(found: dict[str, Any]) -> list[Chart]:
    """Return the charts for the result of ``activity``, one for each name."""
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
