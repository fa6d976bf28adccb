"""What a scrape includes besides the processes' own metrics: the release, and the state of the database and Redis.

Background threads query them. A scrape waits briefly for these, and results are cached for several seconds. So a scrape
is always answered, and reports when the database doesn't respond.
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
from app.monitoring.shared_files import VARIABLE, longest_silence, truncate_dead_files
from app.version import VERSION

if TYPE_CHECKING:
    from flask import Flask

log = structlog.get_logger()

WAIT = 2.0
"""Seconds a scrape waits for its queries, in total."""

KEPT, KEPT_LONG = 4.0, 60.0
"""Seconds for which results are cached: of values that change quickly, and of those that are slow to count."""


class CachedReadings:
    """A group of readings made together, in at most one thread at a time."""

    def __init__(self, app: Flask, cache_seconds: float, *readings: Reading) -> None:
        self.app = app
        self.cache_seconds = cache_seconds
        self.readings = readings
        self.succeeded: bool | None = None
        """Whether the last attempt succeeded; None before the first."""
        self._gauges: list[Gauge] = []
        self._again_at = float("-inf")
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start a new query if the cached result has expired and none is running."""
        with self._starting:
            if (self._thread is None or not self._thread.is_alive()) and time.monotonic() >= self._again_at:
                self._thread = threading.Thread(target=self._read, name="metrics-readings", daemon=True)
                self._thread.start()

    def answer(self, until: float) -> list[Gauge]:
        """Return the result, waiting until this time (monotonic seconds); empty when it isn't available."""
        thread = self._thread
        if thread is not None:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                self.succeeded = False
                return []
        return self._gauges if self.succeeded else []

    def _read(self) -> None:
        gauges: list[Gauge] = []
        succeeded = True
        with self.app.app_context():
            try:
                for reading in self.readings:
                    gauges += reading()
            except Exception as error:
                log.warning("metrics.cannot_read", error=type(error).__name__)
                succeeded = False
            finally:
                db.session.remove()
        self._gauges, self.succeeded = gauges, succeeded
        self._again_at = time.monotonic() + (self.cache_seconds if succeeded else KEPT)


class ServiceCollector:
    """Collects metrics of the service as a whole, for a registry of the Prometheus client."""

    def __init__(self, app: Flask) -> None:
        quick = (readings.database, readings.workers, Queue().read, readings.webhooks)
        self._quick = CachedReadings(app, KEPT, *quick)
        self._slow = CachedReadings(
            app, KEPT_LONG, readings.schema, readings.totals, readings.delivery, readings.backups
        )
        self._redis = CachedReadings(app, KEPT, readings.redis)

    def describe(self) -> Iterable[Any]:
        """Return no metrics, since a registry would otherwise collect them to describe them."""
        return []

    def collect(self) -> Iterator[Any]:
        """Yield the current metrics."""
        asked, until = (self._quick, self._slow, self._redis), time.monotonic() + WAIT
        for each in asked:
            each.begin()
        gauges = [build_info(), *(gauge for each in asked for gauge in each.answer(until))]
        up = float(bool(self._quick.succeeded))
        gauges.insert(1, readings.plain("latchkey_database_up", "Whether the database answers.", up))
        silence = "Time since the process of this service that is silent longest gave a sign."
        gauges.insert(2, readings.plain("latchkey_process_silence_seconds", silence, longest_silence()))
        yield from map(family, [*gauges, *readings.process_usage()])


class FilesCollector:
    """Collects the metrics of all processes of this service."""

    def describe(self) -> Iterable[Any]:
        """Return no metrics."""
        return []

    def collect(self) -> Iterator[Any]:
        """Yield the totals of all files."""
        from prometheus_client.multiprocess import MultiProcessCollector

        directory = os.environ[VARIABLE]
        truncate_dead_files(Path(directory))
        yield from MultiProcessCollector(None, directory).collect()  # type: ignore[no-untyped-call]


def build_info() -> Gauge:
    """Return the running release."""
    values: dict[tuple[str, ...], float] = {(VERSION, platform.python_version()): 1.0}
    return Gauge("latchkey_build_info", "The release that runs.", ("version", "python"), values)


def family(gauge: Gauge) -> Any:
    """Return a gauge as a Prometheus client object."""
    from prometheus_client.core import GaugeMetricFamily

    made = GaugeMetricFamily(gauge.name, gauge.help_text, labels=gauge.labels)
    for values, figure in gauge.values.items():
        made.add_metric(list(values), figure)
    return made
