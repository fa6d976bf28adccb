"""Cookies about sessions: set with the response, once what they stand for is stored."""

from __future__ import annotations

from datetime import timedelta

from app.client import MAX_KNOWN_ACCOUNTS
from app.crypto import secrets
from app.extensions import g
from app.web.cookies import sent_known_secrets


def set_known_cookie(secret: str, life: timedelta, *, instead_of: str = "") -> str:
    """Let this browser keep the secret by which an account knows it, for ``life`` from now; return its digest.

    :param instead_of: digest of the secret that it takes the place of
    """
    digest = secrets.digest(secret)
    others = [each for each in _known_secrets() if secrets.digest(each) not in (digest, instead_of)]
    g.known_cookie = (".".join([secret, *others[: MAX_KNOWN_ACCOUNTS - 1]]), int(life.total_seconds()))
    return digest


def keep_known(digest: str, life: timedelta) -> None:
    """Let this browser keep the secret it brought with this digest for ``life`` from now."""
    for secret in _known_secrets():
        if secrets.digest(secret) == digest:
            set_known_cookie(secret, life)


def known_digests() -> list[str]:
    """Return the digests by which accounts know this browser, as of this answer."""
    return [secrets.digest(secret) for secret in _known_secrets()]


def note_known_here(digest: str) -> None:
    """Note by which digest the account that has just signed in knows this browser."""
    g.known_here = digest


def known_here() -> str:
    """Return by which digest the account that has signed in with this request knows the browser; "" by none."""
    return str(g.get("known_here", ""))


def _known_secrets() -> list[str]:
    given: tuple[str, int] | None = g.get("known_cookie")
    return given[0].split(".") if given else sent_known_secrets()


def set_binding_cookie(secret: str) -> None:
    """Let this browser keep the secret that something it asks for is bound to."""
    g.given_secret = secret


def set_pending_cookie(token: str, life: timedelta) -> None:
    """Let this browser keep the token of its sign-in under way for ``life``; with "" it is taken back."""
    g.pending_cookie = (token, int(life.total_seconds()) if token else 0)
