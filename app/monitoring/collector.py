"""What a scrape shows beside the figures of processes: the release, and what database and Redis say.

They are asked by threads that the scrape waits for a moment, and what they said is kept for some seconds. So a scrape
always answers, and says so when the database does not.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from app.extensions import db
from app.monitoring import readings
from app.monitoring.readings import Gauge, Queue, Reading
from app.monitoring.shared_files import VARIABLE, give_back_room, longest_silence
from app.version import VERSION

if TYPE_CHECKING:
    from flask import Flask

log = structlog.get_logger()

WAIT = 2.0
"""Seconds a scrape waits for what it asks, in all."""

KEPT, KEPT_LONG = 4.0, 60.0
"""Seconds for which an answer is good enough: of what changes in a moment, and of what takes long to count."""


class Asked:
    """Some readings that are made together, at most one thread at a time."""

    def __init__(self, app: Flask, kept: float, *what: Reading) -> None:
        self.app = app
        self.kept = kept
        self.what = what
        self.answers: bool | None = None
        """Whether the last try was answered; None before the first."""
        self._gauges: list[Gauge] = []
        self._again_at = float("-inf")
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start to ask again if the answer is too old and nobody asks."""
        with self._starting:
            if (self._thread is None or not self._thread.is_alive()) and time.monotonic() >= self._again_at:
                self._thread = threading.Thread(target=self._ask, name="metrics-readings", daemon=True)
                self._thread.start()

    def answer(self, until: float) -> list[Gauge]:
        """Return what was said, by this moment (monotonic seconds); nothing when that is not known now."""
        thread = self._thread
        if thread is not None:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                self.answers = False
                return []
        return self._gauges if self.answers else []

    def _ask(self) -> None:
        gauges: list[Gauge] = []
        answers = True
        with self.app.app_context():
            try:
                for reading in self.what:
                    gauges += reading()
            except Exception as error:
                log.warning("metrics.cannot_read", error=type(error).__name__)
                answers = False
            finally:
                db.session.remove()
        self._gauges, self.answers = gauges, answers
        self._again_at = time.monotonic() + (self.kept if answers else KEPT)


class ServiceCollector:
    """Collects what is true of the whole service, for a registry of the Prometheus client."""

    def __init__(self, app: Flask) -> None:
        quick = (readings.database, readings.workers, Queue().read, readings.webhooks)
        self._quick = Asked(app, KEPT, *quick)
        self._slow = Asked(app, KEPT_LONG, readings.schema, readings.totals, readings.delivery, readings.backups)
        self._redis = Asked(app, KEPT, readings.redis)

    def describe(self) -> Iterable[Any]:
        """Name nothing beforehand: a registry would collect for that."""
        return []

    def collect(self) -> Iterator[Any]:
        """Yield what is known now."""
        asked, until = (self._quick, self._slow, self._redis), time.monotonic() + WAIT
        for each in asked:
            each.begin()
        gauges = [build_info(), *(gauge for each in asked for gauge in each.answer(until))]
        up = float(bool(self._quick.answers))
        gauges.insert(1, readings.plain("latchkey_database_up", "Whether the database answers.", up))
        silence = "Time since the process of this service that is silent longest gave a sign."
        gauges.insert(2, readings.plain("latchkey_process_silence_seconds", silence, longest_silence()))
        yield from map(family, gauges)


class FilesCollector:
    """Collects what all processes of this service have counted."""

    def describe(self) -> Iterable[Any]:
        """Name nothing beforehand."""
        return []

    def collect(self) -> Iterator[Any]:
        """Yield the sums of all files."""
        from prometheus_client.multiprocess import MultiProcessCollector

        directory = os.environ[VARIABLE]
        give_back_room(Path(directory))
        yield from MultiProcessCollector(None, directory).collect()  # type: ignore[no-untyped-call]


def build_info() -> Gauge:
    """Return which release runs."""
    values: dict[tuple[str, ...], float] = {(VERSION, platform.python_version()): 1.0}
    return Gauge("latchkey_build_info", "The release that runs.", ("version", "python"), values)


def family(gauge: Gauge) -> Any:
    """Return a gauge as the Prometheus client writes it."""
    from prometheus_client.core import GaugeMetricFamily

    made = GaugeMetricFamily(gauge.name, gauge.help_text, labels=gauge.labels)
    for values, figure in gauge.values.items():
        made.add_metric(list(values), figure)
    return made
