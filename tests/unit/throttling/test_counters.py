"""Counters: one window for all replicas in Redis, one per process without Redis."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from limits import RateLimitItemPerSecond
from structlog.testing import capture_logs

from app.throttling.counters import Counters
from tests.databases import ROOT
from tests.serving import OURS

TWO = RateLimitItemPerSecond(2, 600)
SOON = 1.0
"""Seconds within which a limit answers, whatever became of Redis."""


@pytest.fixture
def replicas(redis_url) -> list[Counters]:
    """The counters of two processes that share a Redis, which has answered both."""
    made = [Counters(redis_url), Counters(redis_url)]
    assert all(counters.test(TWO, "first") for counters in made)
    return made


def hits(counters: Counters, times: int = 3) -> list[bool]:
    """Use turns, each within ``SOON``."""
    taken = []
    for _ in range(times):
        began = time.monotonic()
        taken.append(counters.hit(TWO, "starts", "192.0.2.7"))
        assert time.monotonic() - began < SOON
    return taken


def test_processes_share_a_window_in_redis(replicas):
    one, other = replicas
    assert (hits(one, 1), hits(other, 1)) == ([True], [True])
    assert (hits(one, 1), hits(other, 1)) == ([False], [False])
    assert not other.test(TWO, "starts", "192.0.2.7")
    assert other.test(TWO, "starts", "192.0.2.8")
    assert 590 < other.full_until(TWO, "starts", "192.0.2.7") - time.time() <= 600


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_processes_count_locally_while_redis_is_down(redis_server, replicas, how):
    assert hits(replicas[0], 1) == [True]
    os.kill(redis_server.process.pid, how)
    if how == signal.SIGKILL:
        redis_server.process.wait(5)
    for counters in replicas:
        assert hits(counters) == [True, True, False]
        assert not counters.test(TWO, "starts", "192.0.2.7")
        assert counters.full_until(TWO, "starts", "192.0.2.7") > time.time()


def test_process_started_without_redis_counts_locally(redis_server):
    redis_server.process.kill()
    redis_server.process.wait(5)
    assert hits(Counters(redis_server.url)) == [True, True, False]


FIRST_REQUESTS = """
import threading, time
from app.throttling.counters import Counters

def request(number):
    time.sleep(number / 100)
    Counters("redis://127.0.0.1:1/0")
    print("made")

threads = [threading.Thread(target=request, args=[number]) for number in range(30)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
"""What a process's first requests do, one every hundredth of a second: loading the client of Redis takes longer."""


def test_concurrent_first_requests_succeed_while_the_redis_client_is_loading():
    command = [sys.executable, "-c", FIRST_REQUESTS]
    ended = subprocess.run(command, cwd=ROOT, env=OURS, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.count("made") == 30, ended.stderr


def test_redis_is_retried_after_a_pause(redis_server, replicas, monkeypatch):
    one, other = replicas
    os.kill(redis_server.process.pid, signal.SIGSTOP)
    assert hits(one, 2) == [True, True]
    os.kill(redis_server.process.pid, signal.SIGCONT)
    assert hits(one, 1) == [False], "it rests, and counts by itself"
    there = time.monotonic
    monkeypatch.setattr("app.throttling.counters.time.monotonic", lambda: there() + 11)
    assert [hits(counters, 1) for counters in (one, other, one)] == [[True], [True], [False]]


def test_limit_is_divided_among_replicas_while_redis_is_down(redis_server):
    counters = Counters(redis_server.url, replicas=2)
    assert hits(counters, 3) == [True, True, False]
    os.kill(redis_server.process.pid, signal.SIGSTOP)
    assert hits(counters, 2) == [True, False], "half of two"


def test_share_of_a_replica_is_at_least_one(redis_server):
    redis_server.process.kill()
    redis_server.process.wait(5)
    assert hits(Counters(redis_server.url, replicas=1000), 2) == [True, False]


def test_limit_is_not_divided_without_a_redis_url():
    assert hits(Counters("", replicas=2)) == [True, True, False]


def test_redis_outage_is_logged_once_per_pause(redis_server, monkeypatch):
    counters, there = Counters(redis_server.url), time.monotonic
    os.kill(redis_server.process.pid, signal.SIGSTOP)
    with capture_logs() as first, ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: hits(counters, 1), range(8)))
    monkeypatch.setattr("app.throttling.counters.time.monotonic", lambda: there() + 11)
    with capture_logs() as second:
        hits(counters, 3)
    assert [[line["event"] for line in lines] for lines in (first, second)] == [["limits.redis_away"]] * 2
