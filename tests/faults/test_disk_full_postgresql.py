"""A full disk with PostgreSQL: people and the load balancer get errors until there is space again."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import psycopg
import pytest

from tests.faults.accounts import open_many
from tests.faults.disks import SmallDisk, small_disk
from tests.faults.visitors import Visitor, signed_in_visitor
from tests.requirements import missing
from tests.sinks import until

pytestmark = pytest.mark.one_database

MB = 1024 * 1024


@pytest.fixture
def database(databases, run_directory):
    """A database with some accounts on a separate disk; and that disk."""
    fresh = databases.fresh("postgresql")
    name = fresh.query("SELECT current_database()")[0][0]
    fresh.disconnect()
    directory = Path(tempfile.mkdtemp(prefix="latchkey-disk-"))
    with small_disk(directory, 48 * MB) as disk:
        if not isinstance(disk, SmallDisk):
            missing("no file system may be mounted here")
        owner = (run_directory / "postgresql").stat()
        os.chown(directory, owner.st_uid, owner.st_gid)
        with psycopg.connect(fresh.url.replace(name, "postgres"), autocommit=True) as server:
            server.execute(f"CREATE TABLESPACE \"{name}\" LOCATION '{directory}'")
            server.execute(f'ALTER DATABASE "{name}" SET TABLESPACE "{name}"')
            open_many(fresh, 4)
            yield fresh, disk
            fresh.disconnect()
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
            server.execute(f'DROP TABLESPACE "{name}"')
    directory.rmdir()


def statuses(visitor: Visitor) -> set[int]:
    return {visitor.get("/readyz").status for _ in range(8)}


def test_full_disk_returns_503_until_space_is_free(database, start, smtp):
    place, disk = database
    server = start(place)
    owner = signed_in_visitor(server.url, "person0@example.com", smtp)
    stranger = Visitor(server.url)
    stranger.get("/us-signin")
    assert statuses(owner) == {200}
    disk.fill([])

    def refused() -> bool:
        answers = [stranger.post("/register", email=f"new{number}@example.com").status for number in range(8)]
        return 503 in answers and statuses(owner) == {503}

    until(refused, 20)
    assert owner.get("/healthz").status == 200
    assert owner.get("/").status == 200, "what only reads goes on"
    assert [line for line in server.output.splitlines() if "Traceback" in line] == []
    assert '"why":"disk_full"' in server.output
    disk.free([])
    until(lambda: statuses(owner) == {200}, 10)
    signed_in_visitor(server.url, "person1@example.com", smtp)
