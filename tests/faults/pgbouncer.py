"""Debian's PgBouncer in front of PostgreSQL: few server connections, pooled by transaction."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.databases import Database
from tests.requirements import program
from tests.serving import free_port
from tests.sinks import until

SERVER_CONNECTIONS = 3
"""Fewer than the processes of a service have open: no connection keeps anything for anyone."""

CONFIGURATION = """
[databases]
* = host={host} port=5432 user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 500
{more}
"""


@contextmanager
def pgbouncer(database: Database, directory: Path, more: str = "", *, port: int = 0) -> Iterator[str]:
    """Yield the URL of ``database`` through PgBouncer in transaction mode; ``more`` is added to its configuration."""
    found, port = conninfo_to_dict(database.url), port or free_port()
    file = directory / "pgbouncer.ini"
    values = {"host": found["host"], "port": port, "connections": SERVER_CONNECTIONS, "more": more}
    file.write_text(CONFIGURATION.format_map(values))
    user = os.stat(str(found["host"])).st_uid if os.geteuid() == 0 else None  # it refuses to run as root
    log = (directory / "pgbouncer.log").open("wb")
    with file.open("rb") as configuration:  # read through its descriptor: the directory is closed to others
        descriptor = configuration.fileno()
        command = [program("pgbouncer"), f"/dev/fd/{descriptor}"]
        process = subprocess.Popen(command, user=user, stdout=log, stderr=log, pass_fds=[descriptor], cwd="/")
    url = f"postgresql://postgres@127.0.0.1:{port}/{found['dbname']}"
    try:
        until(lambda: _answers(url, process), 10)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "pgbouncer has ended"
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
