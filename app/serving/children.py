"""Child processes beside the web workers: kept running, and ended with them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

import structlog

from app import shutdown
from app.serving.startup import Job

log = structlog.get_logger()

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds before a process that died is started again: doubled each time."""

LONG_ENOUGH = 60.0
"""Seconds of life after which the waits begin anew."""

SETTLE = 0.2
"""Seconds between the end of a process and its report. A signal to all processes at once (Ctrl-C, or systemd's default)
may end a child before its supervisor knows that the service stops."""

STOP_WITHIN = 10.0
"""Seconds a child has to stop before it is killed."""

LEAVE_WITHIN = 30.0
"""Seconds for running work in a process whose supervisor is gone."""


class Child:
    """A process that runs a job, and is started again when it ends by itself."""

    def __init__(self, name: str, job: Job) -> None:
        self.name = name
        self.job = job
        self._stopping = threading.Event()
        self._beginning = threading.Lock()
        """Held while a process is begun or told to end, so that none is begun unheard after that."""
        self._process: multiprocessing.process.BaseProcess | None = None
        self._keeper: threading.Thread | None = None

    def start(self) -> None:
        """Start the process, and a thread that looks after it."""
        self._stopping.clear()
        self._spawn()
        self._keeper = threading.Thread(target=self._keep, name=f"keeper-{self.name}", daemon=True)
        self._keeper.start()

    def expect_end(self) -> None:
        """From now on the end of the process is no fault, and it is not begun again."""
        with self._beginning:
            self._stopping.set()

    def stop(self) -> None:
        """Ask the process to end, and wait for it; kill it when it takes longer than STOP_WITHIN.

        Only the keeper waits for the process. When two threads do, the one that comes second gets no status, and
        takes a process that has ended for one that runs.
        """
        if self._process is None or self._keeper is None:
            return
        self.expect_end()
        self._process.terminate()
        self._keeper.join(STOP_WITHIN)
        if self._keeper.is_alive():
            log.error("server.child_killed", child=self.name)
            self._process.kill()
            self._keeper.join()

    def _spawn(self) -> None:
        fork = multiprocessing.get_context("fork")
        self._process = fork.Process(target=work, args=(self.job, os.getpid()), name=self.name)
        self._process.start()

    def _keep(self) -> None:
        wait = FIRST_WAIT
        while self._process is not None:
            began = time.monotonic()
            self._process.join()
            if self._stopping.wait(SETTLE):
                return
            wait = FIRST_WAIT if time.monotonic() - began > LONG_ENOUGH else min(wait * 2, LONGEST_WAIT)
            log.error("server.child_died", child=self.name, status=self._process.exitcode, again_after=wait)
            self._stopping.wait(wait)
            with self._beginning:
                if self._stopping.is_set():
                    return
                self._spawn()


def work(job: Job, supervisor: int) -> None:
    """Run a job in this process until SIGTERM; Ctrl-C reaches the supervisor, which passes it on."""
    stop = shutdown.event_set_by(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leave_with(supervisor)
    job(stop)


def leave_with(supervisor: int) -> None:
    """End this process by SIGTERM when its supervisor is gone, and at last without asking."""

    def watch() -> None:
        while os.getppid() == supervisor:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(LEAVE_WITHIN)
        os._exit(1)

    threading.Thread(target=watch, name="leave-with-supervisor", daemon=True).start()
