"""Cookies on the hosts of protected apps: who is signed in there, and what binds a ticket to its browser."""

from __future__ import annotations

import re

from flask import Response, request

from app.crypto import secrets
from app.extensions import settings
from app.web.cookies import sent_cookie, set_cookie

NAME = "latchkey_gate"
BINDING = "latchkey_gate_entry"
BINDING_LIFETIME = 3600
"""Seconds that a visitor has to sign in."""

MAX_BINDINGS = 8
"""Maximum number read from a request, since each costs a statement."""
_SECRET = re.compile(r"[\w-]{43}\Z", re.ASCII)


def sent_app_cookie(scope: str) -> str:
    """Return the token in the app's cookie of this request; "" for none.

    :param scope: where it is valid: a host, or a whole domain with a leading dot
    """
    return _sent(_shared_name() if scope.startswith(".") else settings.cookie_prefix + NAME)


def set_app_cookie(response: Response, scope: str, token: str, max_age: int | None) -> None:
    """Set the app's cookie for ``scope``; remove it with "" and 0."""
    if not scope.startswith("."):
        set_cookie(response, NAME, token, max_age)
        return
    secure = bool(settings.cookie_prefix)
    response.set_cookie(
        _shared_name(), token, max_age=max_age, path="/", domain=scope[1:], httponly=True, samesite="Lax", secure=secure
    )


def set_probe_cookie(response: Response, scope: str) -> None:
    """Set a probe cookie if ``scope`` is a whole domain, so that the next step can check whether it was kept.

    Browsers keep no cookies for domains such as co.uk, which no one owns alone.
    """
    if scope.startswith("."):
        secure = bool(settings.cookie_prefix)
        response.set_cookie(
            _probe_name(), "1", max_age=BINDING_LIFETIME, path="/", domain=scope[1:], httponly=True, samesite="Lax",
            secure=secure,
        )  # fmt: skip


def accepts_domain_cookie(scope: str) -> bool:
    """Return whether the browser kept the cookie of ``set_probe_cookie``; True for a single host."""
    return not scope.startswith(".") or _probe_name() in request.cookies


def sent_bindings() -> list[str]:
    """Return the secrets this browser has at the app's host: tabs that start at the same time get one each."""
    prefix = f"{settings.cookie_prefix}{BINDING}_"
    sent = [_sent(name) for name in request.cookies if name.startswith(prefix)]
    return [secret for secret in sent if secret][:MAX_BINDINGS]


def set_binding(response: Response, secret: str) -> None:
    """Store ``secret`` in the browser at the app's host, next to others."""
    set_cookie(response, _binding_name(secrets.digest(secret)), secret, BINDING_LIFETIME)


def remove_binding(response: Response, digest: str) -> None:
    """Remove the secret with this digest from the browser."""
    set_cookie(response, _binding_name(digest), "", 0)


def _binding_name(digest: str) -> str:
    return f"{BINDING}_{digest[:8]}"


def _shared_name() -> str:
    """Return the name of a cookie with a domain, which can't have the prefix of one without."""
    return ("__Secure-" if settings.cookie_prefix else "") + NAME + "_shared"


def _probe_name() -> str:
    return ("__Secure-" if settings.cookie_prefix else "") + NAME + "_domain"


def _sent(name: str) -> str:
    sent = sent_cookie(name)
    return sent if _SECRET.match(sent) else ""
