"""Counters: one window for all replicas in Redis, one for each process while Redis is away."""

from __future__ import annotations

import os
import signal
import time

import pytest
from limits import RateLimitItemPerSecond

from app.limits.counters import Counters

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


def test_two_processes_share_a_window(replicas):
    one, other = replicas
    assert (hits(one, 1), hits(other, 1)) == ([True], [True])
    assert (hits(one, 1), hits(other, 1)) == ([False], [False])
    assert not other.test(TWO, "starts", "192.0.2.7")
    assert other.test(TWO, "starts", "192.0.2.8")
    assert 590 < other.full_until(TWO, "starts", "192.0.2.7") - time.time() <= 600


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_without_redis_each_process_counts_by_itself(redis_server, replicas, how):
    assert hits(replicas[0], 1) == [True]
    os.kill(redis_server.process.pid, how)
    if how == signal.SIGKILL:
        redis_server.process.wait(5)
    for counters in replicas:
        assert hits(counters) == [True, True, False]
        assert not counters.test(TWO, "starts", "192.0.2.7")
        assert counters.full_until(TWO, "starts", "192.0.2.7") > time.time()


def test_a_process_that_starts_without_redis_counts_too(redis_server):
    redis_server.process.kill()
    redis_server.process.wait(5)
    assert hits(Counters(redis_server.url)) == [True, True, False]


def test_redis_is_asked_again_after_a_rest(redis_server, replicas, monkeypatch):
    one, other = replicas
    os.kill(redis_server.process.pid, signal.SIGSTOP)
    assert hits(one, 2) == [True, True]
    os.kill(redis_server.process.pid, signal.SIGCONT)
    assert hits(one, 1) == [False], "it rests, and counts by itself"
    there = time.monotonic
    monkeypatch.setattr("app.limits.counters.time.monotonic", lambda: there() + 11)
    assert [hits(counters, 1) for counters in (one, other, one)] == [[True], [True], [False]]
