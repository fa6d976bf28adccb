"""Wake-ups: they reach every worker that listens, on every kind of queue, and nobody waits for them."""

from __future__ import annotations

import os
import socket
import time

import pytest

from app.outbox import wakeups
from config.settings import Settings
from tests.sinks import until


def settings(**values):
    """Settings for a queue."""
    return Settings(environment="development", **values)


def check_wakes(url):
    """Two listeners are both woken, at once, and one wake-up may do for several."""
    first, second = wakeups.listen(url), wakeups.listen(url)
    try:
        assert not first.wait(0.05)
        sender = wakeups._sender(url, os.getpid())
        began = time.monotonic()
        for _ in range(3):
            sender.wake()
        assert time.monotonic() - began < 0.1, "a request waited"
        assert first.wait(2)
        assert second.wait(2)
        assert time.monotonic() - began < 1
    finally:
        first.close()
        second.close()


def test_wake_ups_through_a_folder(tmp_path):
    check_wakes(f"sqlite:///{tmp_path}/queue.db")


def test_wake_ups_through_a_folder_with_a_long_path(tmp_path):
    check_wakes(f"sqlite:///{tmp_path}/{'long' * 30}/queue.db")


def test_wake_ups_through_redis(redis_url):
    check_wakes(redis_url)


def test_wake_ups_through_postgresql(databases):
    check_wakes(databases.fresh("postgresql").url)


def test_one_wake_up_through_a_server_does_for_several(monkeypatch):
    class Server:
        sent = 0

        def publish(self, channel, text):
            self.sent += 1

    server = Server()
    monkeypatch.setattr(wakeups, "_redis", lambda url: server)
    sender = wakeups.RedisSender("redis://cache/0")
    for _ in range(60):
        sender.wake()
        time.sleep(0.005)
    time.sleep(2 * wakeups.COALESCE_TIME)
    assert 2 <= server.sent < 20
    before = server.sent
    sender.wake()
    until(lambda: server.sent == before + 1, 1)


def test_wake_ups_through_redis_are_read_together(redis_url):
    listener, other = wakeups.listen(redis_url), wakeups._redis(redis_url)
    for _ in range(5):
        other.publish(wakeups.CHANNEL, "")
    assert listener.wait(2)
    assert not listener.wait(0.1)
    listener.close()


def test_wake_up_says_nothing(tmp_path):
    listener = wakeups.listen(f"sqlite:///{tmp_path}/queue.db")
    wakeups._sender(f"sqlite:///{tmp_path}/queue.db", os.getpid()).wake()
    assert listener._socket.recv(100) == b"\0"
    listener.close()


@pytest.mark.parametrize("scheme", ["redis", "postgresql"])
def test_nobody_waits_for_a_queue_that_does_not_answer(scheme):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        sender = wakeups._sender(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/0", os.getpid())
        began = time.monotonic()
        for _ in range(100):
            sender.wake()
        assert time.monotonic() - began < 0.1


def test_socket_of_a_worker_that_was_killed_is_removed(tmp_path):
    url = f"sqlite:///{tmp_path}/queue.db"
    alive, killed = wakeups.listen(url), wakeups.listen(url)
    killed._socket.close()
    assert wakeups.count_listeners(url) == 1
    assert len(list((tmp_path / "queue.wake").iterdir())) == 1
    alive.close()
    assert list((tmp_path / "queue.wake").iterdir()) == []


def test_listener_that_comes_later_is_woken_too(tmp_path):
    url = f"sqlite:///{tmp_path}/queue.db"
    sender = wakeups._sender(url, os.getpid())
    sender.wake()
    listener = wakeups.listen(url)

    def woken():
        sender.wake()
        return listener.wait(0.05)

    until(woken, 3)
    listener.close()


def test_worker_that_does_not_read_its_wake_ups_blocks_nobody(tmp_path):
    url = f"sqlite:///{tmp_path}/queue.db"
    listener, sender = wakeups.listen(url), wakeups._sender(url, os.getpid())
    for _ in range(2000):
        sender.wake()
    assert listener.wait(1)
    assert not listener.wait(0.05)
    listener.close()


def test_listeners_in_redis_are_counted(redis_url):
    assert wakeups.count_listeners(redis_url) == 0
    listener = wakeups.listen(redis_url)
    assert wakeups.count_listeners(redis_url) == 1
    listener.close()


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({"database_url": "sqlite:////srv/latchkey/latchkey.db"}, "sqlite:////srv/latchkey/queue.db"),
        ({"database_url": "sqlite:///:memory:"}, wakeups.NO_WAKEUPS),
        ({"queue_url": "redis://cache/0"}, "redis://cache/0"),
    ],
)
def test_where_wake_ups_go(values, url):
    assert wakeups.location(settings(**values)) == url


def test_each_database_without_a_file_has_a_folder_of_its_own():
    urls = {wakeups.location(settings(database_url=f"postgresql://db/{name}")) for name in ("one", "two")}
    assert len(urls) == 2
    assert all(url.startswith("sqlite:///var/queue-") for url in urls)


def test_nobody_is_woken_beside_a_database_in_memory():
    listener = wakeups.listen(wakeups.NO_WAKEUPS)
    wakeups._sender(wakeups.NO_WAKEUPS, os.getpid()).wake()
    assert not listener.wait(0.01)
    listener.close()
