"""ClientContext: the browser or API client that sent a request, as seen by flows."""

from dataclasses import dataclass
from datetime import timedelta

MAX_BINDINGS = 5
"""Maximum number of open code requests, in different tabs, whose secrets a browser keeps."""


MAX_KNOWN_ACCOUNTS = 5
"""Maximum number of accounts that recognize the same browser, each by its own secret. The oldest is dropped first."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """Identifies a request that may be repeated but must be processed only once.

    :ivar key: digest of its idempotency key, its sender and its endpoint
    :ivar body: digest of its content
    :ivar holds: how long further requests with this key count as the same request
    """

    key: str
    body: str
    holds: timedelta


@dataclass(frozen=True, slots=True)
class ClientContext:
    """The browser or API client that sent a request.

    :ivar binding: digest of the secret it keeps until it signs in or out; "" for a browser without one
    :ivar challenge_secrets: digests of secrets given to it since then, one per challenge, newest first
    :ivar renews: whether to bind what it requests now to a new secret that no earlier copy of its cookie contains
    :ivar ip_address: network address as text, in its shortest form
    :ivar user_agent: browser and system claimed by its User-Agent header, as named by ``user_agents``; "" for none
    :ivar challenge_token: challenge token returned by an API client without cookies, or ""
    :ivar known_secrets: digests of its known-browser secrets, one per account that signed in there, newest first
    :ivar idempotency_key: identifies the request if it is repeated, or None
    :ivar pending_secret: digest of the token of a pending sign-in, or ""
    :ivar keeps_cookies: whether it sent one of our cookies, so that it can be given another one
    """

    binding: str
    ip_address: str
    user_agent: str
    challenge_token: str = ""
    known_secrets: tuple[str, ...] = ()
    keeps_cookies: bool = False
    idempotency_key: IdempotencyKey | None = None
    pending_secret: str = ""
    challenge_secrets: tuple[str, ...] = ()
    renews: bool = False

    @property
    def bindings(self) -> tuple[str, ...]:
        """All secrets to which its challenges may be bound; empty for a browser without any."""
        return (self.binding, *self.challenge_secrets) if self.binding else ()

    def is_bound_to(self, binding: str) -> bool:
        """Return whether something with this binding was requested by this browser."""
        return binding in self.bindings
