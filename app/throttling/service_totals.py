"""Send budgets of the whole service: emails per hour, text messages per day. Running low is logged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import insert  # SQLite accepts this INSERT as well

from app import clock, metrics
from app.audit import record
from app.extensions import db, settings, this_app
from app.throttling.models import SendWindow
from app.users import User

log = structlog.get_logger()

WINDOWS = {"mail": timedelta(hours=1), "sms": timedelta(days=1)}
SETTINGS = {"mail": "LATCHKEY_MAILS_PER_HOUR_OVERALL", "sms": "LATCHKEY_SMS_PER_DAY_OVERALL"}
NAMES = {"overall": "in all", "strangers": "to addresses nobody has proved", "known": "asked for by known browsers"}
"""Budgets, and which messages each one counts."""

MIN_LIMIT = 600
"""Minimum hourly email budget, however few accounts there are."""

COUNT_CACHE_TIME = 600.0
"""Seconds for which the number of accounts is cached."""

WARNING_PERCENT = 80
"""Percentage of a budget from which a warning is logged."""

_table = SendWindow.__table__
_c = _table.c
is_over = sa.or_(_c.began_at <= sa.bindparam("past"), _c.began_at > sa.bindparam("soon"))
"""The window is over. One that starts in the future was created while the clock was ahead, and counts as over."""

FIRST = insert(_table).values(id=sa.bindparam("window"), began_at=sa.bindparam("now"), count=sa.bindparam("more"))
TAKE = (
    FIRST.on_conflict_do_update(
        index_elements=[_c.id],
        set_={
            "count": sa.case((is_over, sa.bindparam("more")), else_=_c.count + sa.bindparam("more")),
            "began_at": sa.case((is_over, sa.bindparam("now")), else_=_c.began_at),
        },
    )
    .returning(_c.count)
    .execution_options(autocommit=True)
)


@dataclass(frozen=True, slots=True)
class Used:
    """How much of a budget is used in its latest window."""

    channel: str
    which: str
    count: int
    most: int
    began_at: datetime

    @property
    def percent(self) -> int:
        return 100 * self.count // self.most


def most_of(channel: str, which: str) -> int:
    """Return the size of a budget, in messages per window.

    Unless configured, the email budget is the number of confirmed accounts, so that no organization outgrows it
    unnoticed. For emails that anyone can have sent to any address, which a stranger might abuse, it is a tenth of that.
    """
    if channel == "mail" and not settings.mails_per_hour_overall:
        most = max(MIN_LIMIT, _accounts() // 10 if which == "strangers" else _accounts())
    else:
        most = settings.mails_per_hour_overall if channel == "mail" else settings.sms_per_day_overall
    if which == "strangers":
        return max(1, most * (100 - settings.overall_kept_percent) // 100)
    return most


def take(channel: str, which: str, more: int) -> int:
    """Use ``more`` of a budget (``overall``, ``strangers`` or ``known``); return how much was left before.

    Exhausting it records an event and logs a warning, once per window. Running low logs a warning, too.
    """
    if not more:
        return 0
    now, most = clock.now(), most_of(channel, which)
    window = {"window": _window(channel, which), "more": more, "now": now}
    count = db.session.scalar(TAKE, window | window_bounds(now, WINDOWS[channel])) or more
    before = count - more
    facts = {"budget": f"{channel}_{which}", "most": most, "setting": SETTINGS[channel]}
    if before <= most < count:
        record("budget.exhausted", autocommit=True, budget=facts["budget"])
        log.warning("budget.exhausted", **facts, remedy="Raise it if these are your people: the rest does not leave.")
    elif before * 100 < most * WARNING_PERCENT <= count * 100 and most > 1:
        log.warning("budget.nearly_exhausted", **facts, used=count, remedy="Raise it before it runs out.")
    remaining = max(0, most - before)
    if remaining < more:
        metrics.REFUSALS.count(f"{channel}_{which}", by=more - remaining)
    return remaining


def window_bounds(now: datetime, window: timedelta) -> dict[str, datetime]:
    """Return the bounds for ``is_over``: windows are over if they start before ``past``, or after ``soon``.

    ``soon`` is a minute ahead because clocks differ by seconds.
    """
    return {"past": now - window, "soon": now + timedelta(minutes=1)}


def used() -> Iterator[Used]:
    """Yield the use of each budget in its latest window of the last day, which may already be over."""
    names = {_window(channel, which): (channel, which) for channel in WINDOWS for which in NAMES}
    since = clock.now() - timedelta(days=1)
    rows = db.session.execute(sa.select(_c.id, _c.count, _c.began_at).where(_c.id.in_(names), _c.began_at > since))
    for window, count, began_at in rows:
        channel, which = names[window]
        yield Used(channel, which, count, most_of(channel, which), began_at)


def _window(channel: str, which: str) -> str:
    return channel if which == "overall" else f"{channel}_{which}"


def _accounts() -> int:
    """Return the number of confirmed accounts, cached for minutes."""
    counted_at, count = this_app().extensions.get("latchkey.accounts", (float("-inf"), 0))
    if time.monotonic() - counted_at > COUNT_CACHE_TIME:
        statement = sa.select(sa.func.count()).select_from(User).where(User.confirmed_at.is_not(None))
        count = db.session.scalar(statement) or 0
        this_app().extensions["latchkey.accounts"] = (time.monotonic(), count)
    return int(count)
