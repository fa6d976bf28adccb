"""The circuit breaker opens after consecutive failures, and closes after a while."""

from __future__ import annotations

from app import clock
from app.outbox.channels.provider_gate import Breaker


def test_breaker_opens_after_consecutive_failures():
    breaker = Breaker(failures=3, seconds=60)
    assert [breaker.failed(), breaker.failed(), breaker.wait(), breaker.failed()] == [False, False, 0, True]
    assert 59 < breaker.wait() <= 60


def test_success_resets_the_failure_count():
    breaker = Breaker(failures=2, seconds=60)
    breaker.failed()
    breaker.succeeded()
    assert not breaker.failed()


def test_one_failure_after_the_pause_reopens_the_breaker():
    breaker = Breaker(failures=3, seconds=60)
    for _ in range(3):
        breaker.failed()
    with clock.travel(61):
        assert breaker.wait() == 0
        assert breaker.failed()
        assert breaker.wait() > 59
