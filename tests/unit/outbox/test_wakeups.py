"""Wake-ups reach every listening worker on every kind of queue, and nobody waits for them."""

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


def test_folder_queue_delivers_wakeups(tmp_path):
    check_wakes(f"sqlite:///{tmp_path}/queue.db")


def test_folder_queue_with_a_long_path_delivers_wakeups(tmp_path):
    check_wakes(f"sqlite:///{tmp_path}/{'long' * 30}/queue.db")


def test_redis_queue_delivers_wakeups(redis_url):
    check_wakes(redis_url)


def test_postgresql_queue_delivers_wakeups(databases):
    check_wakes(databases.fresh("postgresql").url)


def test_redis_sender_coalesces_wakeups(monkeypatch):
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


def test_redis_listener_drains_pending_wakeups(redis_url):
    listener, other = wakeups.listen(redis_url), wakeups._redis(redis_url)
    for _ in range(5):
        other.publish(wakeups.CHANNEL, "")
    assert listener.wait(2)
    assert not listener.wait(0.1)
    listener.close()


def test_wakeup_carries_no_data(tmp_path):
    listener = wakeups.listen(f"sqlite:///{tmp_path}/queue.db")
    wakeups._sender(f"sqlite:///{tmp_path}/queue.db", os.getpid()).wake()
    assert listener._socket.recv(100) == b"\0"
    listener.close()


@pytest.mark.parametrize("scheme", ["redis", "postgresql"])
def test_unresponsive_queue_does_not_block_the_sender(scheme):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        sender = wakeups._sender(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/0", os.getpid())
        began = time.monotonic()
        for _ in range(100):
            sender.wake()
        assert time.monotonic() - began < 0.1


def test_socket_of_a_killed_worker_is_removed(tmp_path):
    url = f"sqlite:///{tmp_path}/queue.db"
    alive, killed = wakeups.listen(url), wakeups.listen(url)
    killed._socket.close()
    assert wakeups.count_listeners(url) == 1
    assert len(list((tmp_path / "queue.wake").iterdir())) == 1
    alive.close()
    assert list((tmp_path / "queue.wake").iterdir()) == []


def test_listener_added_later_is_woken(tmp_path):
    url = f"sqlite:///{tmp_path}/queue.db"
    sender = wakeups._sender(url, os.getpid())
    sender.wake()
    listener = wakeups.listen(url)

    def woken():
        sender.wake()
        return listener.wait(0.05)

    until(woken, 3)
    listener.close()


def test_worker_not_reading_its_wakeups_does_not_block_senders(tmp_path):
    url = f"sqlite:///{tmp_path}/queue.db"
    listener, sender = wakeups.listen(url), wakeups._sender(url, os.getpid())
    for _ in range(2000):
        sender.wake()
    assert listener.wait(1)
    assert not listener.wait(0.05)
    listener.close()


def test_redis_listeners_are_counted(redis_url):
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
def test_queue_location_follows_the_settings(values, url):
    assert wakeups.location(settings(**values)) == url


def test_each_postgresql_database_has_its_own_queue_folder():
    urls = {wakeups.location(settings(database_url=f"postgresql://db/{name}")) for name in ("one", "two")}
    assert len(urls) == 2
    assert all(url.startswith("sqlite:///var/queue-") for url in urls)


def test_in_memory_database_has_no_wakeups():
    listener = wakeups.listen(wakeups.NO_WAKEUPS)
    wakeups._sender(wakeups.NO_WAKEUPS, os.getpid()).wake()
    assert not listener.wait(0.01)
    listener.close()
