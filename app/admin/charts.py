"""What the charts of the console's first page show: counts by hour of a day, or by day of a week or a month."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app import clock
from app.admin.statistics import HOUR, NAMES, counts_since, hour_of
from app.errors import Rejected

DAY = timedelta(days=1)


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
