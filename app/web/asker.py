"""Who asks, read off the request under way."""

from __future__ import annotations

from dataclasses import replace

from app.extensions import g, request
from app.kit import agents, secrets
from app.kit.asking import Asker
from app.web.browser import (
    browser_secret,
    known_browser_secret,
    sent_browser_secret,
    sent_given_secrets,
    sent_known_secrets,
    sent_pending_secret,
)
from app.web.once import once


def asker(challenge: str | None = None) -> Asker:
    """Return who asks; a browser without our cookie is given one with the answer."""
    return _asker(secrets.digest(browser_secret()), challenge)


def trusted_asker(challenge: str | None, token: str | None) -> Asker:
    """Return who asks; a program without cookies is known by the token that it was given when it was trusted."""
    who = asker(challenge)
    return replace(who, known=(secrets.digest(token),)) if token and not who.known else who


def sending_asker(challenge: str | None = None) -> Asker:
    """Return who asks for something to be sent, with what tells this request from the same one sent again.

    Who is signed in asks under their session; anybody else gets a new secret with it.
    :raises Refused: ``idempotency_key_invalid``
    """
    who = asker(challenge)
    return replace(who, once=once(), renews=g.get("auth_session") is None and not g.get("program_token"))


def present_asker(challenge: str | None = None) -> Asker:
    """Return who asks, without giving anybody a cookie; the binding is "" for a browser we never saw."""
    secret = known_browser_secret()
    return _asker(secrets.digest(secret) if secret else "", challenge)


def clicking_asker() -> Asker:
    """Return who clicked a link, without a binding when nobody has: HEAD, a prefetch, or not a navigation."""
    purpose = " ".join(request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Moz")).lower()
    ahead = "prefetch" in purpose or "preview" in purpose
    mode = request.headers.get("Sec-Fetch-Mode", "navigate")
    if request.method == "HEAD" or ahead or mode != "navigate":
        return _asker("", None)
    return present_asker()


def _asker(binding: str, challenge: str | None) -> Asker:
    agent = agents.label(request.headers.get("User-Agent"))
    known, pending = tuple(map(secrets.digest, sent_known_secrets())), sent_pending_secret()
    return Asker(
        binding, g.get("client_address", ""), agent, challenge or "", known,
        keeps_cookies=sent_browser_secret() != "", pending=secrets.digest(pending) if pending else "",
        given=tuple(map(secrets.digest, sent_given_secrets())) if binding else (),
    )  # fmt: skip
