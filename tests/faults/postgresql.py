"""A PostgreSQL server that tests can stop and freeze, unlike the shared one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import psycopg

from tests.databases import Databases, start_postgresql


class OwnPostgresql:
    """A PostgreSQL server with one database, used only by these tests."""

    def __init__(self, databases: Databases) -> None:
        self.data = databases.run / "postgresql"
        self.database = databases.fresh("postgresql")
        with psycopg.connect(self.database.url, autocommit=True) as session:
            session.execute("ALTER SYSTEM SET synchronous_commit = on")  # commits are synced, as in production
            session.execute("SELECT pg_reload_conf()")

    @property
    def postmaster(self) -> psutil.Process:
        return psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))

    def stop_at_once(self) -> None:
        """Stop it like ``pg_ctl stop -m immediate``."""
        self.database.disconnect()
        postmaster = self.postmaster
        postmaster.send_signal(signal.SIGQUIT)
        postmaster.wait(10)

    def start(self) -> None:
        """Start it again."""
        start_postgresql(self.data).ensure_postgres_running()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze all its processes during the block."""
        processes = [self.postmaster, *self.postmaster.children(recursive=True)]
        for process in processes:
            os.kill(process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                os.kill(process.pid, signal.SIGCONT)
