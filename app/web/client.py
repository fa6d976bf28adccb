"""Who sent the current request: its ClientContext, and the IP address, trusting only the operator's own proxies."""

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
    sent_given_secrets,
    sent_known_secrets,
    sent_pending_secret,
)
from app.web.idempotency import idempotency_key

UNKNOWN = "unknown"


def client_context(challenge: str | None = None) -> ClientContext:
    """Return who asks; a browser without our cookie is given one with the answer."""
    return _client(secrets.digest(browser_secret()), challenge)


def trusted_client(challenge: str | None, token: str | None) -> ClientContext:
    """Return who asks; a program without cookies is known by the token that it was given when it was trusted."""
    who = client_context(challenge)
    return replace(who, known_secrets=(secrets.digest(token),)) if token and not who.known_secrets else who


def sending_client(challenge: str | None = None) -> ClientContext:
    """Return who asks for something to be sent, with what tells this request from the same one sent again.

    Who is signed in asks under their session; anybody else gets a new secret with it.
    :raises Rejected: ``idempotency_key_invalid``
    """
    who = client_context(challenge)
    return replace(
        who, idempotency_key=idempotency_key(), renews=g.get("auth_session") is None and not g.get("program_token")
    )


def present_client(challenge: str | None = None) -> ClientContext:
    """Return who asks, without giving anybody a cookie; the binding is "" for a browser we never saw."""
    secret = known_browser_secret()
    return _client(secrets.digest(secret) if secret else "", challenge)


def is_click() -> bool:
    """Whether somebody goes to the address of this request: it is no HEAD, no prefetch, and a navigation."""
    purpose = " ".join(request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Moz")).lower()
    ahead = "prefetch" in purpose or "preview" in purpose
    return request.method != "HEAD" and not ahead and request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"


def clicking_client() -> ClientContext:
    """Return who clicked a link, without a binding when nobody has."""
    return present_client() if is_click() else _client("", None)


def _client(binding: str, challenge: str | None) -> ClientContext:
    agent = user_agents.label(request.headers.get("User-Agent"))
    known, pending = tuple(map(secrets.digest, sent_known_secrets())), sent_pending_secret()
    return ClientContext(
        binding, g.get("client_address", ""), agent, challenge or "", known,
        keeps_cookies=sent_browser_secret() != "", pending_secret=secrets.digest(pending) if pending else "",
        given_secrets=tuple(map(secrets.digest, sent_given_secrets())) if binding else (),
    )  # fmt: skip


def client_address(environ: Mapping[str, str], trusted_proxies: int) -> str:
    """Return the client's address in its shortest form, or ``unknown``.

    :param trusted_proxies: how many proxies of ours append to X-Forwarded-For; entries are counted
        from the right, and what stands further left is a claim that nobody checked
    """
    claimed = environ.get("REMOTE_ADDR", "")
    if trusted_proxies > 0:
        hops = forwarded(environ)
        claimed = hops[-trusted_proxies] if len(hops) >= trusted_proxies else ""
    return _shortest(claimed)


def forwarded(environ: Mapping[str, str]) -> list[str]:
    """Return the entries of X-Forwarded-For: the proxy next to us has written the last one."""
    return [hop.strip() for hop in environ.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]


@lru_cache(maxsize=4096)
def _shortest(claimed: str) -> str:
    try:
        address = ipaddress.ip_address(_without_port(claimed))
    except ValueError:
        return UNKNOWN
    if address.version == 4:
        return str(address)
    return str(address.ipv4_mapped or ipaddress.IPv6Address(int(address)))  # without its zone, a name of that machine's


def _without_port(node: str) -> str:
    """Return the address of ``192.0.2.7:80``, ``[2001:db8::5]:443`` and ``[2001:db8::5]``, forms of RFC 7239 (6).

    :raises ValueError: when what follows the address is no port
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
