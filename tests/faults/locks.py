"""Block writers of a database, as a backup or another program would."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg

from tests.databases import Database


@contextmanager
def writers_kept_out(database: Database) -> Iterator[None]:
    """Hold the lock that every writer of challenges needs, until the block ends."""
    if database.kind == "sqlite":
        path = database.url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            yield
            holder.execute("ROLLBACK")
    else:
        with psycopg.connect(database.url) as holder:
            holder.execute("LOCK TABLE challenge IN EXCLUSIVE MODE")
            yield
            holder.rollback()
