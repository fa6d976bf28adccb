"""Servers for fault tests: no limits by IP address, frequent sweeps, little logging."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests import serving
from tests.databases import Database, Databases, stop_postgresql
from tests.faults.postgresql import OwnPostgresql
from tests.serving import Server, environment_of, free_port
from tests.sinks import SmsStub, SmtpSink

PLAIN = {"LATCHKEY_LIMITS": "off", "LATCHKEY_LOG_LEVEL": "warning", "LATCHKEY_OUTBOX_SWEEP_EVERY": "1"}

Start = Callable[..., Server]


def starter(made: list[Server], directory: Path, smtp: SmtpSink, sms: SmsStub) -> Start:
    """Return what starts servers whose files are in ``directory`` and adds them to ``made``."""
    numbers = itertools.count()

    def start(database: Database, *, workers: int = 2, **environment: Any) -> Server:
        home = directory / str(next(numbers))
        home.mkdir()
        port = free_port()
        values = environment_of(database, port, home, smtp, sms) | PLAIN | environment
        server = Server({name: str(value) for name, value in values.items()}, home / "log", port=port, workers=workers)
        made.append(server)
        return server.start()

    return start


@pytest.fixture
def started_as_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starts servers as an operator does, for tests about starting and stopping."""
    monkeypatch.setattr(serving, "FORKED", False)


@pytest.fixture
def start(tmp_path: Path, smtp: SmtpSink, sms: SmsStub) -> Iterator[Start]:
    """Starts servers: ``start(database, workers=1, LATCHKEY_MAIL_TIMEOUT=2)``. They end with the test."""
    made: list[Server] = []
    yield starter(made, tmp_path, smtp, sms)
    for server in made:
        server.kill()


@pytest.fixture(scope="module")
def own_directory(run_directory: Path, worker_id: str) -> Path:
    """A directory for a module's own servers: a new one each time, since other modules' tests may run in between."""
    directory = run_directory / f"{worker_id}-{uuid4().hex[:8]}"
    directory.mkdir()
    return directory


@pytest.fixture(scope="module")
def start_shared(
    tmp_path_factory: pytest.TempPathFactory, smtp_server: SmtpSink, sms_provider: SmsStub
) -> Iterator[Start]:
    """The same for servers shared by all tests of a module."""
    made: list[Server] = []
    yield starter(made, tmp_path_factory.mktemp("standing"), smtp_server, sms_provider)
    for server in made:
        server.kill()


@pytest.fixture(scope="module")
def own_postgresql(own_directory, worker_id) -> Iterator[OwnPostgresql]:
    """A PostgreSQL server other than the shared one."""
    yield OwnPostgresql(Databases(own_directory, worker_id))
    stop_postgresql(own_directory / "postgresql")
