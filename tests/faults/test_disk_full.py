"""A full disk with SQLite: nothing is written, everyone gets an error, and it recovers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.databases import ROOT, Database
from tests.faults.accounts import open_many
from tests.faults.disks import small_disk
from tests.faults.visitors import Visitor, code_for, signed_in_visitor
from tests.sinks import until


@pytest.fixture
def disk(tmp_path):
    directory = tmp_path / "disk"
    directory.mkdir()
    with small_disk(directory) as disk:
        yield disk


@pytest.fixture
def place(databases, disk):
    """A database with some accounts on that disk."""
    fresh = Path(databases.fresh("sqlite").url.removeprefix("sqlite:///"))
    path = disk.directory / "latchkey.db"
    shutil.copy(fresh, path)
    database = Database("sqlite", f"sqlite:///{path}")
    open_many(database, 4)
    yield database
    database.disconnect()


def doctor(server) -> str:
    """Return the output of ``flask doctor`` for this server's database."""
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "doctor"]
    environment = server.environment | {"PATH": "/usr/bin"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    return next(line for line in done.stdout.splitlines() if " database " in line)


def test_full_disk_returns_503_until_space_is_free(disk, place, start, smtp):
    server = start(place)
    owner = signed_in_visitor(server.url, "person0@example.com", smtp)
    since = len(smtp.mails)
    waiting = Visitor(server.url)
    assert waiting.send_code("person1@example.com").status == 200
    code = code_for("person1@example.com", smtp, since, 10)
    stranger = Visitor(server.url)
    stranger.get("/us-signin")
    owner.prepared("/tokens")
    pids = server.processes()
    assert owner.get("/readyz").status == 200

    disk.fill(pids)
    asked = {
        "a code": lambda: stranger.send_code("person2@example.com"),
        "a wrong code": lambda: waiting.sign_in("person1@example.com", "00000000"),
        "the right code": lambda: waiting.sign_in("person1@example.com", code),
        "an account": lambda: stranger.post("/register", email="new@example.com"),
        "an export": lambda: owner.post("/my-data/export"),
    }
    for name, ask in asked.items():
        for _ in range(3):
            answer = ask()
            assert (answer.status, answer.header("retry-after")) == (503, "2"), name
            assert not answer.cookies
    assert owner.get("/").status == 200, "what only reads goes on"
    assert owner.get("/healthz").status == 200
    until(lambda: {owner.get("/readyz").status for _ in range(8)} == {503}, 5)
    assert [line for line in server.output.splitlines() if "Traceback" in line] == []
    if not hasattr(disk, "_limit"):  # a limit applies only to the processes that have it
        assert "database or disk is full" in doctor(server)

    disk.free(pids)
    until(lambda: {owner.get("/readyz").status for _ in range(8)} == {200}, 5)
    assert waiting.sign_in("person1@example.com", code).status == 200, "nothing was spent"
    signed_in_visitor(server.url, "person3@example.com", smtp)
    assert server.processes() == pids
