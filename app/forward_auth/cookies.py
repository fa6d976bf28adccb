"""Cookies at the hosts of protected apps: who is signed in there, and what binds a ticket to its browser."""

from __future__ import annotations

import re

from flask import Response

from app.extensions import settings
from app.web.cookies import sent_cookie, set_cookie

NAME = "latchkey_gate"
BINDING = "latchkey_gate_entry"
_SECRET = re.compile(r"[\w-]{43}\Z", re.ASCII)


def sent_app_cookie() -> str:
    """Return the token of the app's cookie that this request brought; "" for none."""
    return _sent(_shared_name() if settings.forward_auth_cookie_domain else settings.cookie_prefix + NAME)


def set_app_cookie(response: Response, token: str, max_age: int | None) -> None:
    """Set the app's cookie; with "" and 0 remove it. For a whole domain only where the operator has named one."""
    domain = settings.forward_auth_cookie_domain
    if not domain:
        set_cookie(response, NAME, token, max_age)
        return
    secure = bool(settings.cookie_prefix)
    response.set_cookie(
        _shared_name(), token, max_age=max_age, path="/", domain=domain, httponly=True, samesite="Lax", secure=secure
    )


def sent_binding() -> str:
    """Return the secret that this browser has kept at the app's host; "" for none."""
    return _sent(settings.cookie_prefix + BINDING)


def set_binding(response: Response, secret: str, max_age: int) -> None:
    """Have the browser keep ``secret`` at the app's host; "" and 0 removes it."""
    set_cookie(response, BINDING, secret, max_age)


def _shared_name() -> str:
    """Return the name of a cookie with a domain, which can't have the prefix of one without."""
    return ("__Secure-" if settings.cookie_prefix else "") + NAME + "_shared"


def _sent(name: str) -> str:
    sent = sent_cookie(name)
    return sent if _SECRET.match(sent) else ""
