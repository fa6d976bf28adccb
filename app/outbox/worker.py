"""The worker: takes entries from the queue, delivers their messages, and sweeps up what the queue lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from app.database import unavailable
from app.database.pruning import PRUNERS
from app.extensions import db
from app.kit import clock
from app.outbox import errands, leases, queue
from app.outbox.channels import cutoff, mail
from app.outbox.delivery import deliver_all
from app.outbox.lanes import Lanes
from app.outbox.sending import FEEDERS, lane

if TYPE_CHECKING:
    from config.settings import Settings

log = structlog.get_logger()

POLL = 0.025
"""Seconds between two looks at a queue that can't wake us."""

GATHER = 0.1
"""Seconds after a look that found something, in which more may come to be delivered together."""

NO_GRACE = timedelta()

AFTER_TROUBLE = 1.0
"""Seconds of rest when queue or database did not answer."""

IDLE = 2.0
"""Seconds without work after which a thread lets go of its mail connection."""

PRUNE_EVERY = 600.0
STOP_WITHIN = 3.0
"""Seconds for tries under way when the worker stops; then they are cut off and their messages given back."""


class App(Protocol):
    """What the worker needs of the Flask application."""

    extensions: dict[str, Any]

    def app_context(self) -> AbstractContextManager[Any]: ...


def run(app: App, stop: threading.Event) -> None:
    """Deliver messages until ``stop`` is set, then end within 5 s with every lease given back.

    Blocks. Use it in a process of its own, or in a thread; one at a time in a process.
    """
    cutoff.resume()
    worker = Worker(app, stop)
    worker.start()
    log.info("worker.started", threads=worker.lanes.threads)
    while not stop.wait(1.0):
        worker.revive()
    worker.end()
    log.info("worker.stopped")


class Worker:
    """One thread that pulls, one that sweeps, one for errands, and those that deliver."""

    def __init__(self, app: App, stop: threading.Event) -> None:
        self.app = app
        self.stop = stop
        self.settings: Settings = app.extensions["latchkey.settings"]
        self.lanes = Lanes(self.settings.worker_threads)
        self._jobs: dict[str, Callable[[], None]] = {"outbox-pull": self.pull, "outbox-sweep": self.sweep}
        self._jobs["outbox-errands"] = self.run_errands
        self._jobs |= {f"outbox-deliver-{number}": self.deliver for number in range(self.lanes.threads)}
        self._threads: dict[str, threading.Thread] = {}

    def start(self) -> None:
        """Start every thread that does not run."""
        for name, job in self._jobs.items():
            thread = self._threads.get(name)
            if thread is None or not thread.is_alive():
                self._threads[name] = threading.Thread(target=job, name=name, daemon=True)
                self._threads[name].start()

    def revive(self) -> None:
        """Start again what died of an error that nobody foresaw."""
        if dead := [name for name, thread in self._threads.items() if not thread.is_alive()]:
            log.error("worker.thread_died", threads=dead)
            self.start()

    def end(self) -> None:
        """Wait for tries under way, cut off those that take too long, and hand back what was not begun."""
        left = self.lanes.close()
        self._join(STOP_WITHIN)
        cutoff.cut_off_all()
        self._join(1.5)
        with self.app.app_context():
            for message_id, its_lane in left:
                queue.push(message_id, its_lane)

    def _join(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        for thread in self._threads.values():
            thread.join(max(0.0, until - time.monotonic()))

    def pull(self) -> None:
        """Move entries from the queue to the lanes, as long as there is room."""
        entries: queue.Queue | None = None
        while not self.stop.is_set():
            room = self.lanes.room()
            try:
                if entries is None:
                    entries = queue.connect(queue.location(self.settings), queue.PULL_TIMEOUT + 1)
                found = entries.pull_all(room) if room else []
            except Exception as error:  # the driver of any queue may raise anything
                log.warning("queue.unreachable", error=type(error).__name__)
                entries = None
                self.stop.wait(AFTER_TROUBLE)
                continue
            if found:
                self.lanes.put_all(found)
                self.stop.wait(GATHER)
            elif not room or not entries.wakes:
                self.stop.wait(POLL)

    def sweep(self) -> None:
        """Look now and then for rows that are due though nobody told us, and delete old ones."""
        prune_at = time.monotonic()
        grace = leases.GRACE
        while not self.stop.is_set():
            try:
                with self.app.app_context():
                    self._sweep_once(grace)
                    if time.monotonic() >= prune_at:
                        prune_at = time.monotonic() + PRUNE_EVERY
                        self._prune()
            except Exception as error:  # the database is away; so are the messages
                log.warning("outbox.cannot_sweep", error=type(error).__name__)
            every = self.settings.outbox_sweep_every.total_seconds()
            grace = NO_GRACE if self.lanes.wait_for_room(every) else leases.GRACE

    def _sweep_once(self, grace: timedelta) -> None:
        """Take in what is due: after a burst what did not fit, otherwise what the queue lost."""
        for feed in FEEDERS:
            self._feed(feed)
        rows = leases.due(self.lanes.depth, grace) if self.lanes.room() else []
        if found := self.lanes.put_all((message_id, lane(channel, to)) for message_id, channel, to in rows):
            log.info("outbox.swept", messages=found)

    def _feed(self, feed: Callable[[], object]) -> None:
        """Let a feeder put messages in; when it fails, others and the sweep go on."""
        try:
            feed()
            db.session.commit()
        except Exception as error:  # a feeder belongs to another room
            named = {"feeder": getattr(feed, "__qualname__", ""), "error": type(error).__name__}
            if unavailable(error):  # what it would have put in is found again
                log.warning("outbox.cannot_feed", **named)
            else:
                log.exception("outbox.cannot_feed", **named)
            db.session.rollback()

    def _prune(self) -> None:
        while not self.stop.wait(0.05) and leases.prune(self.settings.outbox_keep):
            pass
        for prune in PRUNERS:
            while not self.stop.wait(0.05) and prune():
                pass

    def run_errands(self) -> None:
        """Do now and then what takes longer than a sweep may."""
        while not self.stop.is_set():
            try:
                with self.app.app_context():
                    errands.run_all(self.stop)
            except Exception as error:  # the database is away, and could not even be told to forget
                log.warning("worker.cannot_run_errands", error=type(error).__name__)
            self.stop.wait(self.settings.outbox_sweep_every.total_seconds())

    def deliver(self) -> None:
        """Deliver batch after batch."""
        while not self.stop.is_set():
            taken = self.lanes.take(IDLE)
            if taken:
                self._deliver_batch(*taken)
            else:
                mail.hang_up()
        mail.hang_up()

    def _deliver_batch(self, its_lane: str, ids: list[str]) -> None:
        began = time.monotonic()
        waits: dict[str, float] = {}
        tried = 1
        try:
            with self.app.app_context():
                outcomes = deliver_all(ids)
            now = clock.now()
            tried = max(1, sum(each.counts for each in outcomes))  # what was given back took no time
            waits = {each.message.id: (each.due - now).total_seconds() for each in outcomes if each.due}
        except Exception as error:  # the database is away, or something nobody foresaw; the rows stay due
            log.warning("outbox.cannot_deliver", messages=len(ids), error=type(error).__name__)
            waits = dict.fromkeys(ids, AFTER_TROUBLE)
        finally:
            self.lanes.done(its_lane, ids, (time.monotonic() - began) / tried)
        for message_id, wait in waits.items():
            self.lanes.put(message_id, its_lane, wait)
