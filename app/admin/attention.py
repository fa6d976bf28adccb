"""What an administrator should look at now: what `flask doctor` finds, as far as it is quick to find."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from app import clock
from app.admin import outbox_list
from app.admin.outbox_list import AGAIN, NEW, Wanted
from app.db import clock_sync
from app.outbox import jobs
from app.outbox.models import ABANDONED

LATE = timedelta(minutes=1)
"""A message due for longer than this was forgotten, or workers are too slow."""

DESTINATIONS = 3
"""Mail domains named at most."""


def attention() -> list[dict[str, Any]]:
    """Return what needs attention, the worst first: a ``code``, and what there is to know of it.

    ``no_worker``, ``workers_late`` (``since``), ``clock_off`` (``seconds``), ``retrying`` (``destination``, ``count``,
    ``reason``), and ``given_up`` (``count``, and ``more`` for more than that).
    """
    found: list[dict[str, Any]] = []
    if not jobs.count_workers():
        found.append({"code": "no_worker"})
    waiting = outbox_list.count_of(Wanted(NEW))
    since = outbox_list.oldest_of(NEW, waiting)
    if waiting.more or (since and clock.now() - since > LATE):
        found.append({"code": "workers_late", "since": since, "count": waiting.count, "more": waiting.more})
    if abs(clock.correction()) > clock_sync.TOLERATED:
        found.append({"code": "clock_off", "seconds": round(abs(clock.correction()), 1)})
    for each in outbox_list.destinations_of(Wanted(AGAIN), DESTINATIONS):
        found.append({"code": "retrying"} | each)
    given_up = outbox_list.count_of(Wanted(ABANDONED))
    if given_up.count:
        found.append({"code": "given_up", "count": given_up.count, "more": given_up.more})
    return found
