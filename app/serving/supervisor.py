"""The supervisor process: starts web workers and child processes, keeps them running, and stops them."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing import connection
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import structlog
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings

from app import i18n, shutdown
from app.authenticators import keys as key_announcements
from app.serving.asgi import WsgiAdapter
from app.serving.startup import SOCKET_MODE, ChildFunction, ListenAddress, count
from app.serving.thread_pool import ThreadPool
from app.web.headers import headers_before_the_app
from app.webhooks import subscriptions

if TYPE_CHECKING:
    from flask import Flask

log = structlog.get_logger()

MIN_BACKOFF, MAX_BACKOFF = 0.5, 30.0
"""Initial and maximum seconds before a dead process is restarted. Doubles each time."""

STABLE_AFTER = 60.0
"""Seconds of uptime after which the backoff is reset."""

DEATH_REPORT_DELAY = 0.2
"""Seconds to wait before reporting that a process died. A signal sent to all processes (Ctrl-C, or systemd's default)
may end a child before its supervisor knows that the service is stopping."""

STOP_TIMEOUT = 10.0
"""Seconds a child gets to stop before it is killed."""

EXIT_TIMEOUT = 30.0
"""Seconds that running work gets in a process whose supervisor is gone."""


class Child:
    """A process that runs a function, and is restarted if it ends unexpectedly."""

    def __init__(self, name: str, function: ChildFunction) -> None:
        self.name = name
        self.function = function
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        """Held while starting the process or marking it as stopping, so that it isn't started afterwards."""
        self._process: multiprocessing.process.BaseProcess | None = None
        self._monitor: threading.Thread | None = None

    def start(self) -> None:
        """Start the process and a thread that monitors it."""
        self._stopping.clear()
        self._spawn()
        self._monitor = threading.Thread(target=self._monitor_process, name=f"keeper-{self.name}", daemon=True)
        self._monitor.start()

    def expect_end(self) -> None:
        """Don't restart the process from now on."""
        with self._starting:
            self._stopping.set()

    def stop(self) -> None:
        """Terminate the process and wait for it; kill it if it takes longer than STOP_TIMEOUT.

        Only the keeper waits for the process itself. If two threads did, the second would get no exit status, and treat
        a process that has ended as running.
        """
        if self._process is None or self._monitor is None:
            return
        self.expect_end()
        self._process.terminate()
        self._monitor.join(STOP_TIMEOUT)
        if self._monitor.is_alive():
            log.error("server.child_killed", child=self.name)
            self._process.kill()
            self._monitor.join()

    def _spawn(self) -> None:
        fork = multiprocessing.get_context("fork")
        self._process = fork.Process(target=run_child, args=(self.function, os.getpid()), name=self.name)
        self._process.start()

    def _monitor_process(self) -> None:
        wait = MIN_BACKOFF
        while self._process is not None:
            began = time.monotonic()
            self._process.join()
            if self._stopping.wait(DEATH_REPORT_DELAY):
                return
            wait = MIN_BACKOFF if time.monotonic() - began > STABLE_AFTER else min(wait * 2, MAX_BACKOFF)
            log.error("server.child_died", child=self.name, status=self._process.exitcode, again_after=wait)
            self._stopping.wait(wait)
            with self._starting:
                if self._stopping.is_set():
                    return
                self._spawn()


def run_child(function: ChildFunction, supervisor: int) -> None:
    """Run a child's function in this process until SIGTERM. Ctrl-C is left to the supervisor, which passes it on."""
    stop = shutdown.event_set_by(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    exit_with_parent(supervisor)
    function(stop)


def exit_with_parent(supervisor: int) -> None:
    """Send this process SIGTERM when its supervisor is gone, and exit if it is still running EXIT_TIMEOUT later."""

    def watch() -> None:
        while os.getppid() == supervisor:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(EXIT_TIMEOUT)
        os._exit(1)

    threading.Thread(target=watch, name="leave-with-supervisor", daemon=True).start()


CONNECTIONS: Final = 4000
"""Maximum open connections of a web process. Further ones wait in the kernel."""

BACKLOG: Final = 2048
MAX_HEAD_BYTES: Final = 65536

SHUTDOWN_TIMEOUT: Final = 30
"""Seconds that running requests get when the service stops."""

CHECK_INTERVAL: Final = 0.2
"""Seconds between checks for dead web workers."""

REPEAT_INTERVAL: Final = 0.5
"""Seconds between two signals to a web worker that is still running. One that is finishing requests ignores repeats."""

HEADER_TIMEOUT: Final = 10
"""Seconds to receive a request's headers, counted from the last response, so also the keep-alive timeout."""


def stopping_here(stop: Callable[[], object]) -> shutdown.Handler:
    """Return the supervisor's handler for SIGINT and SIGTERM, which calls ``stop``.

    A newly forked process still has this handler until it sets its own. It serves no requests yet, so it just exits:
    the signal is sent once, and the supervisor would wait SHUTDOWN_TIMEOUT for a worker that missed it.
    """
    supervisor, request_stop = os.getpid(), shutdown.handler_that(stop)

    def handle(number: int, frame: FrameType | None) -> None:
        if os.getpid() != supervisor:
            os._exit(0)
        request_stop(number, frame)

    return handle


def stop_workers(server: Any, stop: Callable[[], object]) -> None:
    """Stop the server, and signal its workers until they end: one that is just starting misses the first signal."""
    stop()
    while server.wrks:
        time.sleep(REPEAT_INTERVAL)
        for worker in server.wrks:
            if not connection.wait([worker.inner.sentinel], 0):  # leave reaping to the main thread
                worker.terminate()


def report_deaths(server: Any, stopped: threading.Event) -> None:
    """Log each web worker that dies, until ``stopped`` is set. The server replaces it."""
    watched: set[Any] = set()
    reported: set[Any] = set()
    while not stopped.wait(CHECK_INTERVAL):
        workers = {worker.inner for worker in server.wrks}
        reported &= workers
        watched |= workers - reported  # including those replaced since
        ended = {process for process in watched if connection.wait([process.sentinel], 0)}
        if ended and not stopped.wait(DEATH_REPORT_DELAY) and not server.interrupt_signal:
            watched -= ended
            reported |= ended
            for process in ended:
                log.error("server.web_process_died", pid=process.pid, status=process.exitcode)


def adapter(app: Flask, pool: ThreadPool) -> WsgiAdapter:
    """Set up this process to serve requests; return the application for the server."""
    count(app, "web")
    key_announcements.keep_announcing(app)
    subscriptions.start_refreshing(app)
    settings = app.extensions["latchkey.settings"]
    limit = int(app.config["MAX_CONTENT_LENGTH"])
    headers = headers_before_the_app(hsts=settings.is_production and settings.hsts)
    path_limits = app.config.get("BODY_LIMITS")
    return WsgiAdapter(
        app, pool=pool, max_body=limit, path_limits=path_limits, headers=headers, sub_path=settings.sub_path
    )


def server_options(listen_address: ListenAddress) -> dict[str, Any]:
    """Return the address and HTTP options for our Granian servers."""
    if isinstance(listen_address, str):
        listener: dict[str, Any] = {"uds": Path(listen_address), "uds_permissions": SOCKET_MODE}
    else:
        listener = {"address": listen_address[0], "port": listen_address[1]}
    return listener | {
        "interface": Interfaces.ASGINL,
        "backlog": BACKLOG,
        "http": HTTPModes.http1,
        "http1_settings": HTTP1Settings(header_read_timeout=HEADER_TIMEOUT * 1000, max_buffer_size=MAX_HEAD_BYTES),
        "websockets": False,
        "log_enabled": False,
    }


def url_of(listen_address: ListenAddress) -> str:
    """Return the server's URL for the log."""
    return (
        f"unix:{listen_address}"
        if isinstance(listen_address, str)
        else f"http://{listen_address[0]}:{listen_address[1]}"
    )


class Supervisor:
    """Runs web workers, forked from the application loaded here, and child processes."""

    def __init__(self, app: Flask, listen_address: ListenAddress, *, workers: int, threads: int) -> None:
        self.app = app
        self.listen_address = listen_address
        self.workers = workers
        self.threads = threads
        self.children: list[Child] = []

    def add_child(self, name: str, function: ChildFunction) -> None:
        """Run ``function`` in a child process while the service runs."""
        self.children.append(Child(name, function))

    def run(self) -> int:
        """Serve until SIGINT or SIGTERM; return the exit status. Backs off if web workers keep dying."""
        wait = MIN_BACKOFF
        multiprocessing.set_start_method("fork", force=True)  # workers are forks of this process
        i18n.load_date_formats(self.app.extensions["latchkey.settings"].languages[0])
        gc.collect()
        gc.freeze()  # keep memory shared between the processes
        while True:
            server, stopped = self._server(), threading.Event()
            threading.Thread(target=report_deaths, args=(server, stopped), name="web-deaths", daemon=True).start()
            try:
                server.serve(target_loader=self._load, wrap_loader=False)
            except SystemExit as end:
                if not server.interrupt_signal and end.code:
                    log.error("server.workers_keep_dying", again_after=wait)
                    if not self._stopped_within(wait):
                        wait = min(wait * 2, MAX_BACKOFF)
                        continue
            finally:
                stopped.set()
            return 0

    def _server(self) -> Any:
        server: Any = Granian(
            "wsgi:app",
            **server_options(self.listen_address),
            workers=self.workers,
            backpressure=CONNECTIONS,
            respawn_failed_workers=True,
            workers_kill_timeout=SHUTDOWN_TIMEOUT,
        )
        stop = server.signal_handler_interrupt
        server.signal_handler_interrupt = stopping_here(lambda: self._begin_stop(server, stop))
        server.on_startup(self._start_children)
        server.on_shutdown(self._stop_children)
        return server

    def _begin_stop(self, server: Any, stop: Callable[[], object]) -> None:
        for child in self.children:
            child.expect_end()
        stop_workers(server, stop)

    def _start_children(self) -> None:
        for child in self.children:
            child.start()
        log.info("server.started", url=url_of(self.listen_address), workers=self.workers, threads=self.threads)

    def _stop_children(self) -> None:
        for child in reversed(self.children):
            child.stop()
        log.info("server.stopped")

    def _load(self) -> WsgiAdapter:
        """Set up a web worker. Runs in each of them, right after the fork."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # left to the supervisor, which passes it on
        exit_with_parent(os.getppid())
        return adapter(self.app, self._pool())

    def _pool(self) -> ThreadPool:
        """Return the thread pool of a web process. With SQLite's single lock, one thread is faster than several."""
        is_file = self.app.extensions["latchkey.settings"].database_url.startswith("sqlite")
        return ThreadPool(1 if is_file else self.threads, self.threads)

    def _stopped_within(self, seconds: float) -> bool:
        """Wait, and return whether a stop signal arrived meanwhile."""
        return shutdown.event_set_by(signal.SIGINT, signal.SIGTERM).wait(seconds)
