"""A primary and its standby, behind one address that can be switched between them."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.databases import Database, Databases, start_postgresql


def run_as_server(data: Path, program: str, *words: str) -> None:
    """Run a PostgreSQL program as the user of the server of ``data``. Raises AssertionError with its output."""
    postmaster = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
    user = postmaster.uids().real if os.geteuid() == 0 else None
    command = [Path(postmaster.exe()).with_name(program), *words]
    done = subprocess.run(command, user=user, capture_output=True, text=True, timeout=60, cwd="/")
    assert done.returncode == 0, done.stderr


class Pair:
    """Two servers with the same data: the second replicates the first until it is promoted."""

    def __init__(self, databases: Databases) -> None:
        self.database = databases.fresh("postgresql")
        self.name = self.database.url.partition("?")[0].rpartition("/")[2]
        first = databases.run / "postgresql"
        second = databases.run / "standby"
        second.mkdir(mode=0o700)
        os.chown(second, first.stat().st_uid, first.stat().st_gid)
        self._first = start_postgresql(first)
        run_as_server(first, "pg_basebackup", "-d", self._first.get_uri(), "-D", str(second), "-R", "-c", "fast")
        (second / ".s.PGSQL.5432.lock").unlink(missing_ok=True)  # copied to the standby
        self._second = start_postgresql(second)
        self.standby = Database("postgresql", self._second.get_uri(database=self.name))

    @property
    def sockets(self) -> tuple[Path, Path]:
        """The socket of each server."""
        hosts = [conninfo_to_dict(server.get_uri())["host"] for server in (self._first, self._second)]
        return Path(str(hosts[0]), ".s.PGSQL.5432"), Path(str(hosts[1]), ".s.PGSQL.5432")

    def url_at(self, port: int) -> str:
        """Return the URL of the database behind a local port."""
        return f"postgresql://postgres@127.0.0.1:{port}/{self.name}"

    def set_first_read_only(self, value: str) -> None:
        """Make the first server read-only (``on``), keeping all connections open."""
        with psycopg.connect(self._first.get_uri(), autocommit=True) as session:
            session.execute("SET default_transaction_read_only = off")
            session.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
            session.execute("SELECT pg_reload_conf()")

    def promote_second(self) -> None:
        """Make the second server a primary."""
        with psycopg.connect(self._second.get_uri(), autocommit=True) as session:
            session.execute("SELECT pg_promote()")


class Relay:
    """An address that forwards to the socket in ``target``; connections keep the one they started with."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self.target))
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=(one, other), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
