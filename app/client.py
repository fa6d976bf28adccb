"""ClientContext: the browser or program that sent a request, as flows see it."""

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
    :ivar given_secrets: digests of the secrets given to it since, one with each challenge, the newest first
    :ivar renews: whether what it asks for now is bound to a new secret, so that no earlier copy of its cookie has it
    :ivar ip_address: as text, shortest form; a network address, never a postal one
    :ivar user_agent: browser and system that its User-Agent header claims, as ``user_agents`` names them; "" for none
    :ivar challenge_token: the challenge token a program without cookies hands back, or ""
    :ivar known_secrets: digests of its known-browser secrets, one for each account that signed in there, newest first
    :ivar idempotency_key: what identifies its request when it is sent again, or None
    :ivar pending_secret: digest of the token of a sign-in under way, or ""
    :ivar keeps_cookies: whether it sent a cookie of ours, and so can be given another
    """

    binding: str
    ip_address: str
    user_agent: str
    challenge_token: str = ""
    known_secrets: tuple[str, ...] = ()
    keeps_cookies: bool = False
    idempotency_key: IdempotencyKey | None = None
    pending_secret: str = ""
    given_secrets: tuple[str, ...] = ()
    renews: bool = False

    @property
    def bindings(self) -> tuple[str, ...]:
        """All that what it asked for may be bound to; empty for a browser we never saw."""
        return (self.binding, *self.given_secrets) if self.binding else ()

    def is_bound_to(self, binding: str) -> bool:
        """Whether what is bound so was asked for here."""
        return binding in self.bindings
