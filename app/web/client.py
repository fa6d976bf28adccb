"""The client of the current request: its ClientContext and IP address. Trusts the operator's own proxies only."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from flask import g, request

from app import user_agents
from app.client import ClientContext
from app.crypto import secrets
from app.web.cookies import (
    browser_secret,
    known_browser_secret,
    sent_browser_secret,
    sent_challenge_secrets,
    sent_known_secrets,
    sent_pending_secret,
)
from app.web.idempotency import idempotency_key

UNKNOWN = "unknown"


def client_context(challenge: str | None = None) -> ClientContext:
    """Return the client of this request. A browser without our cookie gets one with the response."""
    return _client(secrets.digest(browser_secret()), challenge)


def trusted_client(challenge: str | None, token: str | None) -> ClientContext:
    """Return the client of this request; one without cookies is recognized by the trust token it was given earlier."""
    who = client_context(challenge)
    return replace(who, known_secrets=(secrets.digest(token),)) if token and not who.known_secrets else who


def sending_client(challenge: str | None = None) -> ClientContext:
    """Return the client of a request that sends a message, with its idempotency key.

    Requests without a session or API token are bound to a new secret.
    :raises Rejected: ``idempotency_key_invalid``
    """
    who = client_context(challenge)
    return replace(
        who, idempotency_key=idempotency_key(), renews=g.get("auth_session") is None and not g.get("auth_token")
    )


def present_client(challenge: str | None = None) -> ClientContext:
    """Return the client without setting a cookie; the binding is "" for a browser we haven't seen before."""
    secret = known_browser_secret()
    return _client(secrets.digest(secret) if secret else "", challenge)


def is_click() -> bool:
    """Return whether a person is opening this URL: a navigation, and neither a HEAD request nor a prefetch."""
    purpose = " ".join(request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Moz")).lower()
    ahead = "prefetch" in purpose or "preview" in purpose
    return request.method != "HEAD" and not ahead and request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"


def clicking_client() -> ClientContext:
    """Return the client that clicked a link; without a binding if the request isn't a click."""
    return present_client() if is_click() else _client("", None)


def _client(binding: str, challenge: str | None) -> ClientContext:
    agent = user_agents.label(request.headers.get("User-Agent"))
    known, pending = tuple(map(secrets.digest, sent_known_secrets())), sent_pending_secret()
    return ClientContext(
        binding, g.get("client_address", ""), agent, challenge or "", known,
        keeps_cookies=sent_browser_secret() != "", pending_secret=secrets.digest(pending) if pending else "",
        challenge_secrets=tuple(map(secrets.digest, sent_challenge_secrets())) if binding else (),
    )  # fmt: skip


def client_address(environ: Mapping[str, str], trusted_proxies: int) -> str:
    """Return the client's IP address in its shortest form, or ``unknown``.

    :param trusted_proxies: number of the operator's proxies that append to X-Forwarded-For. Entries are counted from
        the right; anything further left is unverified client input
    """
    claimed = environ.get("REMOTE_ADDR", "")
    if trusted_proxies > 0:
        hops = forwarded(environ)
        claimed = hops[-trusted_proxies] if len(hops) >= trusted_proxies else ""
    return _shortest(claimed)


def forwarded(environ: Mapping[str, str]) -> list[str]:
    """Return the entries of X-Forwarded-For. The proxy next to us appended the last one."""
    return [hop.strip() for hop in environ.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]


@lru_cache(maxsize=4096)
def _shortest(claimed: str) -> str:
    try:
        address = ipaddress.ip_address(_without_port(claimed))
    except ValueError:
        return UNKNOWN
    if address.version == 4:
        return str(address)
    return str(address.ipv4_mapped or ipaddress.IPv6Address(int(address)))  # without the zone ID, local to that machine


def _without_port(node: str) -> str:
    """Strip the port and brackets, as in ``192.0.2.7:80``, ``[2001:db8::5]:443`` and ``[2001:db8::5]`` (RFC 7239, 6).

    :raises ValueError: if the port or the brackets are malformed
    """
    if node.startswith("["):
        address, bracket, port = node[1:].partition("]")
        if not bracket or (port and not port.startswith(":")) or ":" not in address:
            raise ValueError("no address in brackets")
        port = port[1:] if port else "0"
    elif node.count(":") == 1:
        address, _, port = node.partition(":")
    else:
        return node
    if not (port.isascii() and port.isdecimal() and len(port) <= 5):
        raise ValueError("no port")
    return address
