"""Real servers: ``flask serve`` with its worker processes, on its own port and database."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.databases import KEY, ROOT, Database
from tests.sinks import SmsStub, SmtpSink

START_WITHIN = 30.0
STOP_WITHIN = 15.0
FORKED = True
"""Whether to fork servers from a process that has already loaded the application. Not for tests of the startup itself,
and not if their environment has anything but our settings."""

OURS = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "FLASK_SKIP_DOTENV": "1"}
"""Environment variables that servers inherit. Local .env files are not read."""


class Forked:
    """``flask`` with some arguments, in a process forked from one that has loaded the application (tests/forked.py).

    Implements the part of ``subprocess.Popen`` that tests use.
    """

    def __init__(self, words: list[str], environment: dict[str, str], log: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.forked", "tests.serving"])
        self._process = context.Process(target=_flask, args=(words, environment, str(log)))
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if (status := self.poll()) is None:
            raise subprocess.TimeoutExpired("flask", timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _flask(words: list[str], environment: dict[str, str], log: str) -> None:
    """Turn this process into ``flask`` with these arguments, as a session leader."""
    from flask.cli import main

    os.setsid()
    os.chdir(ROOT)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in (1, 2):
        os.dup2(output, number)
    os.close(output)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["flask", *words]
    main()


class Server:
    """A server started by ``flask serve`` in ``directory``; ``url`` has no trailing slash.

    :param name: host name in its URL
    :param unix: socket that it listens on; its port is then that of the proxy in front of it
    """

    def __init__(
        self,
        environment: dict[str, str],
        log: Path,
        *,
        port: int = 0,
        workers: int = 2,
        directory: Path = ROOT,
        name: str = "127.0.0.1",
        unix: Path | None = None,
    ) -> None:
        self.environment = environment
        self.unix = unix
        self.log = log
        self.port = port or free_port()
        self.workers = workers
        self.directory = directory
        self.name = name
        self.process: subprocess.Popen[bytes] | Forked | None = None

    @property
    def url(self) -> str:
        return f"http://{self.name}:{self.port}"

    @property
    def output(self) -> str:
        """Output of the server so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self) -> Server:
        """Start it and wait until it responds. Raise AssertionError with its output if it doesn't."""
        place = ["--unix", str(self.unix)] if self.unix else ["--host", "127.0.0.1", "--port", str(self.port)]
        words = ["--app", "wsgi", "serve", *place, "--workers", str(self.workers)]
        environment = {**OURS, **self.environment}
        ours = all(name.startswith("LATCHKEY_") for name in self.environment)
        if FORKED and ours and self.directory == ROOT:
            self.process = Forked(words, environment, self.log)
        else:
            with self.log.open("ab") as output:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "flask", *words],
                    cwd=self.directory,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
        deadline = time.monotonic() + START_WITHIN
        while not self.answers():
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}:\n{self.output}"
            assert time.monotonic() < deadline, f"the server does not answer after {START_WITHIN} s:\n{self.output}"
            time.sleep(0.05)
        return self

    def answers(self) -> bool:
        """Return whether /healthz responds with 200."""
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as response:
                return bool(response.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def processes(self) -> list[int]:
        """Return the IDs of all current processes of this server, starting with the main process."""
        assert self.process is not None
        found = []
        for pid in psutil.pids():
            with suppress(ProcessLookupError, psutil.NoSuchProcess):
                if os.getsid(pid) == self.process.pid and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                    found.append(pid)
        return sorted(found)

    def stop(self) -> int | None:
        """Stop it and return its exit status; None if it wasn't running. Processes left behind are in ``processes``.

        Raise AssertionError if it doesn't stop within STOP_WITHIN.
        """
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"the server did not stop within {STOP_WITHIN} s:\n{self.output}") from None
        return int(self.process.returncode)

    def kill(self) -> None:
        """Kill it and all its processes, as with ``kill -9``."""
        if self.process is not None:
            self._kill_group()
            self.process.wait(STOP_WITHIN)

    def _kill_group(self) -> None:
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # it has its own session, so this only affects the server


def free_port() -> int:
    """Return a port that is currently free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment_of(database: Database, port: int, directory: Path, smtp: SmtpSink, sms: SmsStub) -> dict[str, str]:
    """Return the settings of a server on ``database``, with its queue in ``directory``."""
    return {
        "LATCHKEY_ENVIRONMENT": "development",
        "LATCHKEY_DATABASE_URL": database.url,
        "LATCHKEY_SECRET_KEYS": KEY,
        "LATCHKEY_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "LATCHKEY_MAIL_URL": smtp.url,
        "LATCHKEY_SMS_URL": sms.url,
        "LATCHKEY_QUEUE_URL": f"sqlite:///{directory}/queue.db",
        "LATCHKEY_LOG_FORMAT": "json",
    }


# --- fixtures -----------------------------------------------------------------------------------


@pytest.fixture
def make_server(tmp_path: Path, smtp: SmtpSink, sms: SmsStub) -> Iterator[Callable[..., Server]]:
    """Starts servers: ``make_server(database, workers=2, LATCHKEY_LIMITS="off")``. They are stopped after the test."""
    made: list[Server] = []

    def make(database: Database, *, workers: int = 2, start: bool = True, port: int = 0, **environment: Any) -> Server:
        port = port or free_port()
        values = environment_of(database, port, tmp_path, smtp, sms) | environment
        kept = {name: str(value) for name, value in values.items() if value is not None}
        server = Server(kept, tmp_path / f"server-{len(made)}.log", port=port, workers=workers)
        made.append(server)
        return server.start() if start else server

    yield make
    for server in made:
        server.kill()


@pytest.fixture
def live_server(request: pytest.FixtureRequest, fresh_database: Database, make_server: Callable[..., Server]) -> Server:
    """A running server with two workers; ``@pytest.mark.environment(LATCHKEY_LIMITS="off")`` changes its settings."""
    mark = request.node.get_closest_marker("environment")
    return make_server(fresh_database, **(mark.kwargs if mark else {}))
