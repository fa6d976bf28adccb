"""The queue: what an entry looks like, and that it holds on every backend."""

from __future__ import annotations

import sqlite3
import time

import pytest

from app.outbox import queue
from config.settings import Settings

ID = "0123456789abcdef0123456789abcdef"


def settings(**values):
    """Settings for a queue."""
    return Settings(environment="development", **values)


def check_order(first, second):
    """Entries come out as they went in, whoever takes them."""
    assert first.pull() is None
    first.push(ID, "x.test")
    first.push(ID[::-1], "y.test")
    assert len(second) == 2
    assert second.pull() == (ID, "x.test")
    assert first.pull() == (ID[::-1], "y.test")
    assert second.pull() is None
    for number in range(5):
        first.push(ID, f"{number}.test")
    assert second.pull_all(3) == [(ID, f"{number}.test") for number in range(3)]
    began = time.monotonic()
    assert second.pull_all(30) == [(ID, "3.test"), (ID, "4.test")]
    assert time.monotonic() - began < queue.PULL_TIMEOUT, "what was taken waits for no more"
    assert second.pull_all(3) == []


def test_entries_in_a_file_come_out_as_they_went_in(tmp_path):
    url = f"sqlite:///{tmp_path}/queue.db"
    check_order(queue.connect(url, 1), queue.connect(url, 1))


def test_entries_in_redis_come_out_as_they_went_in(redis_url):
    check_order(queue.connect(redis_url, 2), queue.connect(redis_url, 2))


def test_entries_in_postgresql_come_out_as_they_went_in(databases):
    database = databases.fresh("postgresql")
    check_order(queue.connect(database.url, 2), queue.connect(database.url, 2))


def test_an_entry_is_id_and_lane_alone(tmp_path):
    queue.connect(f"sqlite:///{tmp_path}/queue.db", 1).push(ID, "x.test")
    with sqlite3.connect(tmp_path / "queue.db") as connection:
        assert bytes(connection.execute("SELECT data FROM task").fetchone()[0]) == f"{ID} x.test".encode()


@pytest.mark.parametrize("entry", [b"", b"nonsense", b"\xff\xfe", b"\x80\x04cos\nsystem\n"])
def test_an_entry_of_a_stranger_is_thrown_away(tmp_path, entry):
    queue.connect(f"sqlite:///{tmp_path}/queue.db", 1).push(ID, "x.test")
    with sqlite3.connect(tmp_path / "queue.db") as connection:
        connection.execute("UPDATE task SET data = ?", (entry,))
    assert queue.connect(f"sqlite:///{tmp_path}/queue.db", 1).pull() is None


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({"database_url": "sqlite:////srv/latchkey/latchkey.db"}, "sqlite:////srv/latchkey/queue.db"),
        ({"database_url": "sqlite:///:memory:"}, queue.IN_MEMORY),
        ({"queue_url": "redis://cache/0"}, "redis://cache/0"),
    ],
)
def test_where_the_queue_is(values, url):
    assert queue.location(settings(**values)) == url


def test_each_database_without_a_file_has_a_queue_of_its_own():
    urls = {queue.location(settings(database_url=f"postgresql://db/{name}")) for name in ("one", "two")}
    assert len(urls) == 2
    assert all(url.startswith("sqlite:///var/queue-") for url in urls)
