"""ClientContext of the current request."""

from __future__ import annotations

from dataclasses import replace

from app import user_agents
from app.client import ClientContext
from app.crypto import secrets
from app.extensions import g, request
from app.web.browser_cookie import (
    browser_secret,
    known_browser_secret,
    sent_browser_secret,
    sent_given_secrets,
    sent_known_secrets,
    sent_pending_secret,
)
from app.web.idempotency import idempotency_key


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


def clicking_client() -> ClientContext:
    """Return who clicked a link, without a binding when nobody has: HEAD, a prefetch, or not a navigation."""
    purpose = " ".join(request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Moz")).lower()
    ahead = "prefetch" in purpose or "preview" in purpose
    mode = request.headers.get("Sec-Fetch-Mode", "navigate")
    if request.method == "HEAD" or ahead or mode != "navigate":
        return _client("", None)
    return present_client()


def _client(binding: str, challenge: str | None) -> ClientContext:
    agent = user_agents.label(request.headers.get("User-Agent"))
    known, pending = tuple(map(secrets.digest, sent_known_secrets())), sent_pending_secret()
    return ClientContext(
        binding, g.get("client_address", ""), agent, challenge or "", known,
        keeps_cookies=sent_browser_secret() != "", pending_secret=secrets.digest(pending) if pending else "",
        given_secrets=tuple(map(secrets.digest, sent_given_secrets())) if binding else (),
    )  # fmt: skip
