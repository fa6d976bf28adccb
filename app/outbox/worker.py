"""The worker process: delivers messages and runs jobs and periodic tasks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from app.outbox import jobs, leases, wakeups
from app.outbox.channels import attempt, mail
from app.outbox.delivery import send
from app.outbox.models import Message
from app.outbox.schedule import POLL_INTERVAL, Schedule

if TYPE_CHECKING:
    from config.settings import Settings

log = structlog.get_logger()

STOP_CHECK_INTERVAL = 0.5
"""Seconds between checks of the stop event in the thread that waits for wake-ups."""

HEARTBEAT_INTERVAL = 5.0
"""Seconds between heartbeats. They have their own thread, so that a hanging task doesn't make the worker look dead."""

RETRY_DELAY = 1.0
"""Seconds to pause after a database error."""

IDLE_TIMEOUT = 2.0
"""Idle seconds after which a thread closes its mail connection."""

STOP_TIMEOUT = 2.5
"""Seconds that attempts in progress get when the worker stops. Then they are cut off and their messages released."""


STARTUP_HOOKS = "latchkey.beside_worker"
"""Functions that ``flask worker`` calls with the app before it starts the worker, so that higher-level packages can
run something alongside it."""


class App(Protocol):
    """The part of the Flask application that the worker needs."""

    extensions: dict[str, Any]

    def app_context(self) -> AbstractContextManager[Any]: ...


def run(app: App, stop: threading.Event) -> None:
    """Deliver messages until ``stop`` is set, then return within 5 s with every lease released.

    Blocks, so run it in its own process or thread. At most one per process.
    """
    attempt.resume()
    worker = Worker(app, stop)
    worker.start()
    log.info("worker.started", threads=worker.schedule.threads)
    while not stop.wait(1.0):
        worker.restart_dead_threads()
    worker.shut_down()
    log.info("worker.stopped")


class Worker:
    """Delivery threads, plus one thread each for wake-ups, leases, heartbeats and every kind of background work.

    Delivery never waits for the other threads.
    """

    def __init__(self, app: App, stop: threading.Event) -> None:
        self.app = app
        self.stop = stop
        self.settings: Settings = app.extensions["latchkey.settings"]
        self.every = self.settings.outbox_sweep_every.total_seconds()
        self.schedule = Schedule(self.settings.worker_threads, min(POLL_INTERVAL, self.every), leases)
        self.upkeep = jobs.Upkeep(self.settings, stop)
        self._jobs: dict[str, Callable[[], None]] = {
            "outbox-listen": self.listen,
            "outbox-leases": lambda: self._repeat(leases.renew, leases.RENEW_AFTER.total_seconds() / 2),
            "outbox-heartbeat": lambda: self._repeat(self.upkeep.record_heartbeat, min(HEARTBEAT_INTERVAL, self.every)),
            "outbox-sweep": lambda: self._repeat(self.upkeep.sweep, self.every),
            "outbox-prune": lambda: self._repeat(self.upkeep.prune, jobs.CLEANUP_INTERVAL),
            "outbox-jobs": lambda: self._repeat(lambda: jobs.run_jobs(stop), self.every),
            "outbox-prompt-jobs": lambda: self._repeat(
                lambda: jobs.run_prompt_jobs(stop), min(POLL_INTERVAL, self.every)
            ),
        }
        self._jobs |= {f"outbox-deliver-{number}": self.deliver for number in range(self.schedule.threads)}
        self._deliverers = [make(app, stop) for make in jobs.deliverers_of(app)]
        for each in self._deliverers:
            self._jobs |= each.threads
        self._threads: dict[str, threading.Thread] = {}

    def start(self) -> None:
        """Start every thread that isn't running."""
        for name, job in self._jobs.items():
            thread = self._threads.get(name)
            if thread is None or not thread.is_alive():
                self._threads[name] = threading.Thread(target=job, name=name, daemon=True)
                self._threads[name].start()

    def restart_dead_threads(self) -> None:
        """Restart threads that died from an unexpected error."""
        if dead := [name for name, thread in self._threads.items() if not thread.is_alive()]:
            log.error("worker.thread_died", threads=dead)
            self.start()

    def shut_down(self) -> None:
        """Wait for attempts in progress, and cut off those that take too long."""
        self.schedule.close()
        for each in self._deliverers:
            each.close()
        self._join(STOP_TIMEOUT)
        attempt.cut_off_all()
        self._join(1.5)

    def _join(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        for thread in self._threads.values():
            thread.join(max(0.0, until - time.monotonic()))

    def listen(self) -> None:
        """Have the tables polled on each wake-up."""
        url, listener = wakeups.location(self.settings), None
        while not self.stop.is_set():
            try:
                listener = listener or wakeups.listen(url)
                if listener.wait(STOP_CHECK_INTERVAL):
                    self.schedule.wake()
                    for each in self._deliverers:
                        each.wake()
                    self.stop.wait(wakeups.COALESCE_TIME)
            except Exception as error:  # any driver may raise anything
                log.warning("queue.unreachable", error=type(error).__name__)
                listener = None
                self.stop.wait(wakeups.RETRY_DELAY)
        if listener is not None:
            listener.close()

    def _repeat(self, job: Callable[[], object], seconds: float) -> None:
        while not self.stop.is_set():
            try:
                with self.app.app_context():
                    job()
            except Exception as error:  # database unavailable; the next run catches up
                log.warning("worker.cannot_look", error=type(error).__name__)
            self.stop.wait(seconds)

    def deliver(self) -> None:
        """Deliver batch after batch."""
        while not self.stop.is_set():
            try:
                with self.app.app_context():
                    batch = self.schedule.claim_batch(IDLE_TIMEOUT)
                    if batch:
                        self._send(*batch)
                    else:
                        mail.quit_connection()
            except Exception as error:  # database unavailable; claimed rows are due again when their lease ends
                log.warning("outbox.cannot_deliver", error=type(error).__name__)
                self.stop.wait(RETRY_DELAY)
        mail.quit_connection()

    def _send(self, destination: str, messages: list[Message]) -> None:
        began, attempts = time.monotonic(), 1
        try:
            attempts = sum(outcome.counts for outcome in send(messages))  # released messages took no time
        finally:
            self.schedule.done(destination, (time.monotonic() - began) / max(1, attempts))
