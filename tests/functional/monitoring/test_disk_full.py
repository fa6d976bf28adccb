"""PostgreSQL's disk is full: readiness and metrics report it from the first failed write until it recovers."""

from __future__ import annotations

import os
import sqlite3

import pytest
import sqlalchemy as sa
import structlog

from app.db import disk_space
from app.extensions import db
from app.monitoring import shared_files

pytestmark = pytest.mark.one_database

AT = 'instance="a:9464",job="latchkey"'
FULL, WRITABLE = f"latchkey_database_disk_full{{{AT}}}", f"latchkey_database_writable{{{AT}}}"
ASKED = {"identity": "ada@example.com", "chosen_method": "email"}


@pytest.fixture
def database(databases):
    """A database in PostgreSQL, whichever kind this run is about: on SQLite each readiness check writes."""
    database = databases.shared("postgresql")
    database.empty()
    return database


class Disk:
    """Makes the database fail as with a full disk, for existing and new tables."""

    def __init__(self, database) -> None:
        self._run = database._connection.execute

    def fill(self, tables: str = "disk_full") -> None:
        """Make inserts of messages, and creating tables, fail for the given reason."""
        body = "LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '{}'; END $$"
        self._run(f"CREATE FUNCTION no_room() RETURNS trigger {body.format('disk_full')}")
        self._run(f"CREATE FUNCTION no_table() RETURNS event_trigger {body.format(tables)}")
        self._run("CREATE TRIGGER no_room BEFORE INSERT ON message FOR EACH ROW EXECUTE FUNCTION no_room()")
        self._run("CREATE EVENT TRIGGER no_table ON ddl_command_start EXECUTE FUNCTION no_table()")

    def free(self) -> None:
        self._run("DROP EVENT TRIGGER IF EXISTS no_table")
        self._run("DROP TRIGGER IF EXISTS no_room ON message")
        self._run("DROP FUNCTION IF EXISTS no_room")
        self._run("DROP FUNCTION IF EXISTS no_table")


@pytest.fixture
def disk(database, monkeypatch):
    monkeypatch.setattr(disk_space, "TRY_EVERY", 0.0)
    disk_space._full.clear()
    disk = Disk(database)
    yield disk
    disk.free()
    disk_space._full.clear()


@pytest.fixture
def ask(client, people):
    """Requests a code, which writes a message, and returns the status."""
    people.open(email="ada@example.com", methods=["email"])
    return lambda: client.post("/us-signin/send-code", json=ASKED).status_code


@pytest.fixture
def ready(client):
    return lambda: client.get("/readyz").status_code


def test_readiness_returns_503_from_the_first_failed_write_until_space_is_free(ask, ready, disk):
    disk.fill()
    assert ready() == 200, "nobody knows yet"
    assert ask() == 503
    with structlog.testing.capture_logs() as log:
        assert [ready(), ready()] == [503, 503]
    assert {line["why"] for line in log if line["event"] == "readiness.failed"} == {"disk_full"}
    disk.free()
    assert [ready(), ready()] == [200, 200]
    assert ask() == 200


def test_readiness_stays_503_after_a_write_that_needs_no_space(app, ask, ready, disk):
    disk.fill()
    assert ask() == 503
    with app.app_context():
        db.session.execute(db.text("UPDATE alembic_version SET version_num = version_num"))
        db.session.commit()
    assert ready() == 503


def test_readiness_does_not_probe_disk_space_without_a_failure(ready, statements, disk):
    with statements() as seen:
        assert ready() == 200
    assert [each for each in seen if "CREATE" in each] == []


def test_disk_space_probe_is_rate_limited(ask, ready, disk, statements, monkeypatch):
    disk.fill()
    ask()
    monkeypatch.setattr(disk_space, "TRY_EVERY", 60.0)
    with statements() as seen:
        assert {ready() for _ in range(5)} == {503}
    assert len([each for each in seen if "CREATE" in each]) == 1


def test_disk_space_probe_leaves_no_table_behind(ask, ready, disk, database):
    disk.fill()
    ask()
    disk.free()
    assert ready() == 200
    assert database.query("SELECT relname FROM pg_class WHERE relname LIKE 'latchkey_room%'") == []


def test_readiness_without_create_table_privilege_recovers_until_the_next_failure(ask, ready, disk):
    disk.fill(tables="insufficient_privilege")
    assert ask() == 503
    assert ready() == 200
    assert ask() == 503


def test_full_disk_is_in_the_metrics_and_fires_the_alert(ask, disk, scrape, fires):
    well = scrape()
    assert (well[FULL], well[WRITABLE]) == (0, 1)
    disk.fill()
    ask()
    fault = scrape()
    assert (fault[FULL], fault[WRITABLE]) == (1, 0)
    fires("LatchkeyDatabaseFull", quiet=[well], loud=[fault])
    disk.free()
    again = scrape()
    assert (again[FULL], again[WRITABLE]) == (0, 1)


def test_disk_full_noticed_by_another_process_is_probed_again(disk, scrape, monkeypatch, tmp_path):
    monkeypatch.setenv(shared_files.VARIABLE, str(tmp_path))
    note = tmp_path / f"full-{os.getpid()}"
    shared_files._note_full(note, True)
    disk.fill()
    assert scrape()[FULL] == 1
    disk.free()
    assert scrape()[FULL] == 0
    assert not note.exists()


def test_disk_full_note_of_a_dead_process_is_ignored(monkeypatch, tmp_path):
    monkeypatch.setenv(shared_files.VARIABLE, str(tmp_path))
    (tmp_path / "full-999999999").touch()
    assert shared_files.full_notes() == []


def test_sqlite_disk_full_error_is_recognized():
    small = sqlite3.connect(":memory:")
    small.execute("PRAGMA max_page_count = 2")
    with pytest.raises(sqlite3.OperationalError) as full:
        small.execute("CREATE TABLE large AS SELECT zeroblob(100000) AS x")
    small.close()
    assert disk_space.means_full(sa.exc.OperationalError("", {}, full.value))
    assert not disk_space.means_full(sqlite3.OperationalError("locked"))
