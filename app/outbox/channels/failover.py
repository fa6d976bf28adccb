"""Failover between the two providers of a channel.

A circuit breaker skips a provider for a minute after several consecutive failures. Then a single message probes it, and
the channel returns to it if it works. What happens to a failed message depends on the cause (``Failed.fault``): only a
message that was certainly not accepted goes to the other provider immediately.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import structlog

from app import clock, metrics
from app.outbox.channels.attempt import PROVIDER, Failed, Postponed
from app.outbox.channels.provider_gate import Breaker, ProviderGate

PRIMARY, FALLBACK = "primary", "fallback"
NAMES = (PRIMARY, FALLBACK)

log = structlog.get_logger()

T = TypeVar("T")


@dataclass
class Health:
    """A provider's health in this process since it was last saved.

    :ivar sent_at: when it last accepted a message
    :ivar failed_at: when it last failed
    :ivar reason: why it last failed, as in ``Failed``
    """

    sent_at: datetime | None = None
    failed_at: datetime | None = None
    reason: str = ""


@dataclass(eq=False)
class Provider:
    """This process's state for a mail server or SMS provider."""

    channel: str
    name: str
    breaker: Breaker
    gate: ProviderGate
    health: Health = field(default_factory=Health)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reset(self) -> None:
        """Forget all failures."""
        self.breaker.succeeded()
        self.gate.open()
        self.health = Health()

    def admit(self) -> None:
        """Admit a message. Raises Postponed if the breaker is open, or the provider refuses us or asks us to wait."""
        if wait := self.gate.wait() or self.breaker.admit():
            raise Postponed(wait, self.gate.reason or "channel rests")

    def failed(self, failure: Failed, *, uses_breaker: bool) -> None:
        """Record a failure. It counts toward opening the breaker if the provider is at fault, else it closes it."""
        if failure.fault != PROVIDER:
            self.breaker.succeeded()
            return
        self._record_failure(failure.reason)
        if uses_breaker and self.breaker.failed():
            facts = {"channel": self.channel, "provider": self.name, "reason": failure.reason}
            log.warning("provider.rests", **facts, seconds=self.breaker.seconds)

    def record_postponement(self, postponed: Postponed) -> None:
        """Record a postponement as a failure if the provider itself asked for it."""
        if self.gate.wait():
            self._record_failure(postponed.reason)

    def succeeded(self) -> None:
        """Record that the provider accepted a message."""
        if self.breaker.succeeded():
            log.info("provider.resumed", channel=self.channel, provider=self.name)
        with self._lock:
            self.health.sent_at = clock.now()

    def count(self, outcome: str) -> None:
        """Count the outcome of an attempt in the metrics."""
        metrics.PROVIDERS.count(self.channel, self.name, outcome)

    def _record_failure(self, reason: str) -> None:
        with self._lock:
            self.health.failed_at, self.health.reason = clock.now(), reason

    def pop_health(self) -> Health:
        """Return and reset the health recorded since the last call."""
        with self._lock:
            health, self.health = self.health, Health()
        return health


def pair(channel: str, failures: int, seconds: float = 60) -> dict[str, Provider]:
    """Return a channel's two providers by name. ``failures`` in a row open a provider's breaker for ``seconds``."""
    return {name: Provider(channel, name, Breaker(failures, seconds), ProviderGate(channel, name)) for name in NAMES}


def send_by(
    providers: Sequence[Provider], send: Callable[[Provider], T], *, uses_breaker: bool = True
) -> tuple[str, T]:
    """Send a message through the first provider that accepts it; return its name and the result of ``send``.

    :param uses_breaker: whether to use the circuit breakers
    :raises Failed: when the message must not go to another provider, or none accepted it
    :raises Postponed: when no provider can accept it now
    :raises Interrupted: when the worker stops
    """
    errors: list[Failed | Postponed] = []
    for provider in providers:
        try:
            if uses_breaker:
                provider.admit()
            result = send(provider)
        except Postponed as postponed:
            provider.record_postponement(postponed)
            provider.count("postponed")
            errors.append(postponed)
        except Failed as failure:
            provider.failed(failure, uses_breaker=uses_breaker)
            provider.count("refused" if failure.permanent else "failed")
            if not failure.allows_failover:
                raise
            errors.append(failure)
        else:
            provider.succeeded()
            provider.count("sent")
            if errors:
                facts = {"reason": _deciding_error(errors).reason, "provider": provider.name}
                log.info("channel.failed_over", channel=provider.channel, **facts)
            return provider.name, result
    raise _deciding_error(errors)


def _deciding_error(errors: Sequence[Failed | Postponed]) -> Failed | Postponed:
    """Return the error that decides about the retry: a temporary failure, else the shortest wait, else any failure."""
    postponements = [each for each in errors if isinstance(each, Postponed)]
    failures = [each for each in errors if isinstance(each, Failed)]
    temporary = [each for each in failures if not each.permanent]
    if temporary:
        return temporary[0]
    return min(postponements, key=lambda each: each.seconds) if postponements else failures[0]
