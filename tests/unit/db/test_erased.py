"""Data deleted from SQLite is overwritten, whatever the library's build options."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from app.db import sqlite


def test_every_sqlite_connection_enables_secure_delete():
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("PRAGMA secure_delete=OFF")  # Debian's library has it on by itself
        sqlite.prepare(connection, None)
        assert connection.execute("PRAGMA secure_delete").fetchone() == (1,)
