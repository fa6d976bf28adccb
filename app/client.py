"""Who asks: what a flow may know of the browser or program on the other side."""

from dataclasses import dataclass
from datetime import timedelta

MAX_BINDINGS = 5
"""Requests for a code whose secrets a browser keeps: so many may be under way in its tabs."""


MAX_KNOWN_ACCOUNTS = 5
"""Accounts that know one browser, each by a secret of its own; with one more the oldest is forgotten."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A request that may come several times and must be done once.

    :ivar key: digest of what it is known by, of who sends it and where to
    :ivar body: digest of what it asks for
    :ivar holds: how long a request with this key counts as the same one
    """

    key: str
    body: str
    holds: timedelta


@dataclass(frozen=True, slots=True)
class ClientContext:
    """The browser or program that sent a request.

    :ivar binding: digest of the secret that it keeps until it signs in or out; "" for a browser we never saw
    :ivar given: digests of the secrets that it was given since, each with something it asked for, the newest first
    :ivar renews: whether what it asks for now is bound to a new secret, so that no earlier copy of its cookie has it
    :ivar address: as text, shortest form; a network address, never a postal one
    :ivar agent: browser and system that its User-Agent header claims, by their names in ``agents``; "" for none
    :ivar challenge: the challenge token a program without cookies hands back, or ""
    :ivar known: digests of its known-browser secrets, one for each account that signed in there, newest first
    :ivar once: how its request is told from the same one sent again, or None
    :ivar pending: digest of the token of a sign-in under way, or ""
    :ivar keeps_cookies: whether it sent a cookie of ours, and so can be given another
    """

    binding: str
    address: str
    agent: str
    challenge: str = ""
    known: tuple[str, ...] = ()
    keeps_cookies: bool = False
    once: IdempotencyKey | None = None
    pending: str = ""
    given: tuple[str, ...] = ()
    renews: bool = False

    @property
    def bindings(self) -> tuple[str, ...]:
        """All that what it asked for may be bound to; empty for a browser we never saw."""
        return (self.binding, *self.given) if self.binding else ()

    def is_bound_to(self, binding: str) -> bool:
        """Whether what is bound so was asked for here."""
        return binding in self.bindings
