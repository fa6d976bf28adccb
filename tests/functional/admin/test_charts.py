"""The charts of /admin: the workers' hourly counts, and how the page and JSON show them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from app import clock as app_clock
from app.admin import statistics
from app.admin.models import StatHour
from app.admin.statistics import NAMES, hour_of
from app.audit import Event
from app.outbox import Message
from app.outbox.jobs import periodic_tasks
from tests.plans import collected, reads_whole

pytestmark = pytest.mark.both_databases

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def enough_time(monkeypatch) -> None:
    """Raise the time limit, so that a busy machine leaves nothing for the next sweep."""
    monkeypatch.setattr(statistics, "AT_A_TIME", 600.0)


@pytest.fixture
def this() -> datetime:
    """The current hour."""
    return hour_of(app_clock.now())


@pytest.fixture
def add(app):
    """Writes rows as they are: ``add(Event(...), ...)``."""

    def write(*rows: object) -> None:
        from app.extensions import db

        with app.app_context():
            db.session.add_all(rows)
            db.session.commit()

    return write


@pytest.fixture
def count(app):
    """Counts as a worker does, without the pause; returns whether it has caught up."""

    def run() -> bool:
        from app.extensions import db

        with app.app_context():
            caught_up = statistics.count_hours()
            db.session.commit()
            return caught_up

    return run


@pytest.fixture
def counts(rows):
    """Returns by hour what is stored, without zeros."""

    def read() -> dict[datetime, dict[str, int]]:
        found: dict[datetime, dict[str, int]] = {}
        for row in rows(StatHour):
            if row.count:
                found.setdefault(row.hour, {})[row.name] = row.count
        return found

    return read


def event(name: str, at: datetime, **facts: object) -> Event:
    """An event without a user."""
    return Event(name=name, at=at, facts=facts, support_id="", request_id="", address="", agent="")


def sent(channel: str, at: datetime | None, **fields: object) -> Message:
    """A message that a server took."""
    written = (at or app_clock.now()) - timedelta(minutes=5)
    row = {"kind": "code", "channel": channel, "to": "x", "facts": {}, "state": "sent", "created_at": written}
    return Message(**(row | {"sent_at": at} | fields))


def one_of_each(at: datetime) -> list[object]:
    """Rows that are counted, and others that are not."""
    return [
        event("sign_in.succeeded", at), event("sign_in.succeeded", at),
        event("sign_in.failed", at), event("sign_in.failed", at, purpose="sign_in"), event("second_step.failed", at),
        event("sign_in.failed", at, purpose="setup"),  # of a signed-in user
        event("account.created", at), event("delivery.failed", at, channel="mail"),
        sent("mail", at), sent("sms", at), sent("mail", None, state="waiting"), sent("logout", at),
    ]  # fmt: skip


COUNTED = {"sign_ins": 2, "failures": 3, "emails": 1, "texts": 1, "given_up": 1}


def test_events_are_counted_in_their_hour(add, count, counts, this):
    add(*one_of_each(this), *one_of_each(this - timedelta(microseconds=1)))
    assert count()
    assert counts() == {this: COUNTED, this - HOUR: COUNTED}


def test_recounting_is_idempotent_and_includes_late_events(add, count, counts, this):
    add(*one_of_each(this))
    count()
    count()
    assert counts() == {this: COUNTED}
    add(event("sign_in.succeeded", this - HOUR), event("sign_in.succeeded", this))
    count()
    assert counts() == {this: COUNTED | {"sign_ins": 3}, this - HOUR: {"sign_ins": 1}}


def test_hours_without_a_worker_are_backfilled(add, count, counts, this):
    count()
    add(*one_of_each(this - 30 * HOUR), *one_of_each(this - 3 * HOUR))
    assert count()
    assert counts() == {this - 30 * HOUR: COUNTED, this - 3 * HOUR: COUNTED}


def test_partially_counted_hour_is_completed_after_a_worker_outage(add, count, counts, clock, this):
    add(event("sign_in.succeeded", this))
    count()
    add(event("sign_in.succeeded", this + timedelta(minutes=59)))
    clock.shift(5 * 3600)
    count()
    assert counts() == {this: {"sign_ins": 2}}


def test_backfill_runs_in_steps(add, count, counts, monkeypatch, this):
    monkeypatch.setattr(statistics, "AT_A_TIME", 0.0)
    add(event("sign_in.succeeded", this - 4 * HOUR))
    assert [count(), count(), count()] == [False, False, True]
    assert counts() == {this - 4 * HOUR: {"sign_ins": 1}}


def test_final_hours_are_not_recounted(add, count, counts, this):
    add(event("sign_in.succeeded", this - 5 * HOUR))
    count()
    add(event("sign_in.succeeded", this - 5 * HOUR))
    count()
    assert counts() == {this - 5 * HOUR: {"sign_ins": 1}}


def test_counts_are_kept_after_their_events_are_deleted(app, add, count, counts, this):
    add(*one_of_each(this))
    count()
    with app.app_context():
        from app.extensions import db

        db.session.execute(sa.delete(Event))
        db.session.execute(sa.delete(Message))
        db.session.commit()
    count()
    assert counts() == {this: COUNTED}


@pytest.mark.settings(statistics_keep=timedelta(hours=10))
def test_old_counts_are_pruned_and_not_recreated(app, add, count, counts, this):
    add(stat(this - 12 * HOUR, "sign_ins", 1))
    add(event("sign_in.succeeded", this - 12 * HOUR), event("sign_in.succeeded", this - 9 * HOUR))
    with app.app_context():
        assert statistics.prune_stat_hours() == 1
        assert statistics.prune_stat_hours() == 0
    count()
    assert list(counts()) == [this - 9 * HOUR]


def test_workers_update_the_counts_once_a_minute(app, add, counts, monkeypatch, this):
    app.extensions.pop(statistics._NEXT, None)
    ran: list[bool] = []
    monkeypatch.setattr(statistics, "count_hours", lambda: not ran.append(True))
    with app.app_context():
        assert statistics.keep_counting in periodic_tasks()
        assert [statistics.keep_counting(), statistics.keep_counting()] == [False, False]
    assert len(ran) == 1
    app.extensions.pop(statistics._NEXT)


def test_backfill_continues_at_the_next_sweep(app, monkeypatch):
    app.extensions.pop(statistics._NEXT, None)
    ran: list[bool] = []
    monkeypatch.setattr(statistics, "count_hours", lambda: ran.append(True) is not None)
    with app.app_context():
        assert [statistics.keep_counting(), statistics.keep_counting()] == [False, False]
    assert len(ran) == 2


def test_counting_and_reading_statistics_need_no_full_table_scan(app, add, this):
    add(*one_of_each(this))
    with collected(app) as plans:
        statistics.count_hours()
        statistics.counts_since(this - 720 * HOUR)
        statistics.prune_stat_hours()
    tables = ("event", "message", "stat_hour")
    assert all(any(table in plan for plan in plans) for table in tables)
    assert [plan for plan in plans if any(reads_whole(plan, table) for table in tables)] == []


# --- the page and JSON --------------------------------------------------------------------------


def table_of(console, query: str = "") -> dict[str, list[int]]:
    """Return the counts by name, the oldest first, from JSON or the table of the page."""
    answer = console.get(f"/admin{query}")
    assert answer.status == 200
    if console.language == "json":
        return {name: [row[name] for row in answer.json["activity"]["rows"]] for name in NAMES}
    body = re.search(r"<tbody>(.*?)</tbody>", answer.text, re.DOTALL)
    assert body
    lines = [re.findall(r"<td>([\d,]+)</td>", line) for line in re.findall(r"<tr>.*?</tr>", body[1])]
    numbers = [[int(cell.replace(",", "")) for cell in line] for line in reversed(lines)]
    return {name: [line[place] for line in numbers] for place, name in enumerate(NAMES)}


def stat(hour: datetime, name: str, count: int) -> StatHour:
    return StatHour(hour=hour, name=name, count=count, is_final=True)


def test_chart_of_a_day_is_by_hour(console, add, this):
    add(stat(this, "sign_ins", 1234), stat(this - 23 * HOUR, "sign_ins", 7), stat(this - 24 * HOUR, "sign_ins", 9))
    add(stat(this - HOUR, "given_up", 2))
    shown = table_of(console)
    assert shown["sign_ins"] == [7, *[0] * 22, 1234]
    assert shown["given_up"] == [*[0] * 22, 2, 0]
    assert shown["emails"] == [0] * 24


@pytest.mark.parametrize("days", [7, 30])
def test_charts_of_a_week_and_a_month_are_by_day(console, add, this, days):
    today = this.replace(hour=0)
    first = today - timedelta(days=days - 1)
    add(stat(first, "emails", 1), stat(first + 23 * HOUR, "emails", 2), stat(first - HOUR, "emails", 4))
    add(stat(today, "emails", 8))
    assert table_of(console, f"?span={days}d")["emails"] == [3, *[0] * (days - 2), 8]


def test_chart_has_a_summary_and_bars_proportional_to_counts(console, add, this):
    add(stat(this, "texts", 50), stat(this - HOUR, "texts", 100), stat(this - 2 * HOUR, "texts", 0))
    answer = console.get("/admin")
    if console.language == "json":
        assert answer.json["activity"]["totals"]["texts"] == 150
        assert (answer.json["activity"]["span"], answer.json["activity"]["unit"]) == ("24h", "hour")
        return
    chart = re.search(r'<figure class="chart chart-texts">.*?</figure>', answer.text, re.DOTALL)
    assert chart
    assert "150 in 24 hours, at most 100 in an hour." in chart[0]
    assert re.findall(r'<rect x="(\d+)" y="([\d.]+)" width="8" height="([\d.]+)">', chart[0]) == [
        ("221", "0.0", "100.0"), ("231", "50.0", "50.0"),
    ]  # fmt: skip
    assert chart[0].count("<title") == 3
    assert 'style="' not in chart[0]


@pytest.mark.parametrize("span", ["1h", "30", "24h%00", "7D"])
def test_invalid_chart_span_is_rejected(console, span):
    assert console.get(f"/admin?span={span}").status == 400
