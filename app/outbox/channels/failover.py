"""Two providers for a channel: which one is asked, and when the other takes over.

A provider that can't be used is left for a minute after three failures in a row; then one message tries it again, and
the channel goes back to it when it answers. What becomes of a message depends on what went wrong (``Failed.fault``):
only a message that certainly was not taken goes to the other one at once.
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
    """How a provider did in this process since it was last saved.

    :ivar sent_at: when it last took a message
    :ivar failed_at: when it last failed, and ``reason`` how, as in ``Failed``
    """

    sent_at: datetime | None = None
    failed_at: datetime | None = None
    reason: str = ""


@dataclass(eq=False)
class Provider:
    """A mail server or SMS provider as this process knows it."""

    channel: str
    name: str
    breaker: Breaker
    gate: ProviderGate
    health: Health = field(default_factory=Health)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reset(self) -> None:
        """Forget everything that went wrong."""
        self.breaker.succeeded()
        self.gate.open()
        self.health = Health()

    def admit(self) -> None:
        """Let a message through. Raises Postponed while the provider rests, asks to wait or refuses us."""
        if resting := self.gate.wait() or self.breaker.admit():
            raise Postponed(resting, self.gate.reason or "channel rests")

    def failed(self, failure: Failed, *, rests: bool) -> None:
        """Note a failure; one that is about this provider brings it nearer to a rest, any other says that it works."""
        if failure.fault != PROVIDER:
            self.breaker.succeeded()
            return
        self._note(failure.reason)
        if rests and self.breaker.failed():
            facts = {"channel": self.channel, "provider": self.name, "reason": failure.reason}
            log.warning("provider.rests", **facts, seconds=self.breaker.seconds)

    def put_off(self, rest: Postponed) -> None:
        """Note that it takes nothing now, where it said so itself."""
        if self.gate.wait():
            self._note(rest.reason)

    def succeeded(self) -> None:
        """Note that it took a message."""
        if self.breaker.succeeded():
            log.info("provider.resumed", channel=self.channel, provider=self.name)
        with self._lock:
            self.health.sent_at = clock.now()

    def count(self, outcome: str) -> None:
        """Count how an attempt ended, for the metrics."""
        metrics.PROVIDERS.count(self.channel, self.name, outcome)

    def _note(self, reason: str) -> None:
        with self._lock:
            self.health.failed_at, self.health.reason = clock.now(), reason

    def take_health(self) -> Health:
        """Return what happened since this was last called."""
        with self._lock:
            taken, self.health = self.health, Health()
        return taken


def pair(channel: str, failures: int, seconds: float = 60) -> dict[str, Provider]:
    """Return the two providers of a channel, by name. Each rests for ``seconds`` after so many failures in a row."""
    return {name: Provider(channel, name, Breaker(failures, seconds), ProviderGate(channel, name)) for name in NAMES}


def send_by(providers: Sequence[Provider], send: Callable[[Provider], T], *, rests: bool = True) -> tuple[str, T]:
    """Hand a message to the first of these providers that takes it; return its name and what ``send`` returned.

    :param rests: whether one that fails is left alone for a while
    :raises Failed: when it must not go to another one, or none took it
    :raises Postponed: when none can take it now
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
    """Return what decides when a message is tried again: a failure that may pass, else the shortest rest."""
    rests = [each for each in troubles if isinstance(each, Postponed)]
    failures = [each for each in troubles if isinstance(each, Failed)]
    passing = [each for each in failures if not each.permanent]
    if passing:
        return passing[0]
    return min(rests, key=lambda rest: rest.seconds) if rests else failures[0]
