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
        if resting := self.gate.wait() or self.breaker.admit():
            raise Postponed(resting, self.gate.reason or "channel rests")

    def failed(self, failure: Failed, *, rests: bool) -> None:
        """Record a failure. It counts toward opening the breaker if the provider is at fault, else it closes it."""
        if failure.fault != PROVIDER:
            self.breaker.succeeded()
            return
        self._note(failure.reason)
        if rests and self.breaker.failed():
            facts = {"channel": self.channel, "provider": self.name, "reason": failure.reason}
            log.warning("provider.rests", **facts, seconds=self.breaker.seconds)

    def put_off(self, rest: Postponed) -> None:
        """Record a postponement as a failure if the provider itself asked for it."""
        if self.gate.wait():
            self._note(rest.reason)

    def succeeded(self) -> None:
        """Record that the provider accepted a message."""
        if self.breaker.succeeded():
            log.info("provider.resumed", channel=self.channel, provider=self.name)
        with self._lock:
            self.health.sent_at = clock.now()

    def count(self, outcome: str) -> None:
        """Count the outcome of an attempt in the metrics."""
        metrics.PROVIDERS.count(self.channel, self.name, outcome)

    def _note(self, reason: str) -> None:
        with self._lock:
            self.health.failed_at, self.health.reason = clock.now(), reason

    def take_health(self) -> Health:
        """Return and reset the health recorded since the last call."""
        with self._lock:
            taken, self.health = self.health, Health()
        return taken


def pair(channel: str, failures: int, seconds: float = 60) -> dict[str, Provider]:
    """Return a channel's two providers by name. ``failures`` in a row open a provider's breaker for ``seconds``."""
    return {name: Provider(channel, name, Breaker(failures, seconds), ProviderGate(channel, name)) for name in NAMES}


def send_by(providers: Sequence[Provider], send: Callable[[Provider], T], *, rests: bool = True) -> tuple[str, T]:
    """Send a message through the first provider that accepts it; return its name and the result of ``send``.

    :param rests: whether to use the circuit breakers
    :raises Failed: when the message must not go to another provider, or none accepted it
    :raises Postponed: when no provider can accept it now
    :raises Interrupted: when the worker stops
    """
    troubles: list[Failed | Postponed] = []
    for provider in providers:
        try:
            if rests:
                provider.admit()
            taken = send(provider)
        except Postponed as rest:
            provider.put_off(rest)
            provider.count("postponed")
            troubles.append(rest)
        except Failed as failure:
            provider.failed(failure, rests=rests)
            provider.count("refused" if failure.permanent else "failed")
            if not failure.may_go_elsewhere:
                raise
            troubles.append(failure)
        else:
            provider.succeeded()
            provider.count("sent")
            if troubles:
                why = {"reason": _worst(troubles).reason, "provider": provider.name}
                log.info("channel.failed_over", channel=provider.channel, **why)
            return provider.name, taken
    raise _worst(troubles)


def _worst(troubles: Sequence[Failed | Postponed]) -> Failed | Postponed:
    """Return the error that decides about the retry: a temporary failure, else the shortest wait, else any failure."""
    rests = [each for each in troubles if isinstance(each, Postponed)]
    failures = [each for each in troubles if isinstance(each, Failed)]
    passing = [each for each in failures if not each.permanent]
    if passing:
        return passing[0]
    return min(rests, key=lambda rest: rest.seconds) if rests else failures[0]
