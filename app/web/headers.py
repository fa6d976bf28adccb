"""Headers: the Host that a request names (ASVS 4.1.3), and the security headers of every response.

The service answers for the hosts in its settings, never for one that a request claims.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Response, g, redirect, request
from werkzeug.exceptions import BadRequest

from app.extensions import settings, this_app
from app.web.messages import message

if TYPE_CHECKING:
    from flask import Flask

PERMISSIONS = (
    "publickey-credentials-get=(self), publickey-credentials-create=(self), camera=(), microphone=(), geolocation=()"
)
FIXED = [
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", PERMISSIONS),
    ("Vary", "Cookie, Accept, Origin, Sec-Fetch-Site"),
]
HSTS = ("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
NOT_A_PAGE = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

DEFAULT_PORTS = {"http": 80, "https": 443}

LOOPBACK = frozenset(("127.0.0.1", "localhost", "[::1]"))

_OTHER_HOSTS = "latchkey.other_hosts"

MACHINES_ASK = frozenset(("/healthz", "/readyz"))
"""Paths that a load balancer asks by address, and that say nothing worth a forged name."""


def csp_nonce() -> str:
    """Return this answer's nonce for scripts."""
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(16)
    return str(g.csp_nonce)


def no_referrer(response: Response) -> Response:
    """Keep the token in a page's address out of referrers (ASVS 14.2.1)."""
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def set_headers(response: Response) -> Response:
    """Add the security headers (ASVS 3.4.1-3.4.8, 14.3.2); what a view has set itself stays."""
    headers = response.headers
    chosen = {name.lower() for name, _ in headers}
    headers.extend([header for header in FIXED if header[0].lower() not in chosen])
    if "referrer-policy" not in chosen:
        headers.add("Referrer-Policy", "same-origin")
    if "cache-control" not in chosen and (request.endpoint != "static" or response.status_code >= 400):
        headers.add("Cache-Control", "no-store")
    if "content-security-policy" not in chosen:
        headers.add("Content-Security-Policy", _policy() if response.mimetype == "text/html" else NOT_A_PAGE)
    if settings.is_production and settings.hsts:
        headers.add(*HSTS)
    return response


def headers_before_the_app(*, hsts: bool) -> list[tuple[str, str]]:
    """Return the security headers of an answer that the server gives without the application."""
    more = [
        ("Referrer-Policy", "same-origin"),
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", NOT_A_PAGE),
    ]
    return [*FIXED, *more, *([HSTS] if hsts else [])]


def clear_site(response: Response) -> Response:
    """Have the browser forget what it kept of this site, for who has signed out (ASVS 14.3.1).

    Not below a path: it would forget what our neighbours on the host keep, too. Our pages are not kept anywhere.
    """
    if not settings.sub_path:
        response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


def _policy() -> str:
    """Return the content security policy of a page: nothing but our own files (ASVS 3.4.3)."""
    nonce = g.get("csp_nonce")
    script = f"'self' 'nonce-{nonce}'" if nonce else "'self'"
    # A browser holds the answer to a form, a redirect, against this too: without them nobody came to a front end.
    forms = " ".join(["'self'", *settings.front_ends])
    return (
        f"default-src 'none'; script-src {script}; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; frame-src 'self'; manifest-src 'self'; object-src 'none'; base-uri 'none'; "
        f"form-action {forms}; frame-ancestors 'none'"
    )


def refuse_foreign_host() -> Response | None:
    """Refuse a request whose Host is not ours, or whose query is no text (a ``before_request`` function).

    In development a browser that opened this machine by another of its names is sent to the public address: links in
    mails lead there, and cookies and passkeys are not shared between names.

    :raises BadRequest: with its sentence as description
    """
    _refuse_unreadable(request.query_string)
    host = request.environ.get("HTTP_HOST", "").lower()
    if host in _names(settings.origin, tuple(settings.allowed_hosts)) or request.path in MACHINES_ASK:
        return None
    if _is_answered(request.path, host):
        return None
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if settings.is_production or name not in LOOPBACK:
        raise BadRequest(message("host_unknown"))
    parts = urlsplit(settings.origin)
    opened = request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"
    if opened and parts.hostname in LOOPBACK and host.removeprefix(name) == f":{parts.port}":
        return redirect(settings.public_url + request.full_path.removesuffix("?"))  # type: ignore[return-value]
    return None


def answer_other_hosts(app: Flask, place: str, accepts: Callable[[str], bool]) -> None:
    """Have the paths below ``place`` answer for hosts that are not ours, where ``accepts`` says so of the Host."""
    app.extensions.setdefault(_OTHER_HOSTS, []).append((place, accepts))


def is_answered_elsewhere() -> bool:
    """Whether this request is answered for a host that is not ours."""
    host = request.environ.get("HTTP_HOST", "").lower()
    if host in _names(settings.origin, tuple(settings.allowed_hosts)):
        return False
    return _is_answered(request.path, host)


def _is_answered(path: str, host: str) -> bool:
    registered: list[tuple[str, Callable[[str], bool]]] = this_app().extensions.get(_OTHER_HOSTS, [])
    return any(path.startswith(place) and accepts(host) for place, accepts in registered)


def _refuse_unreadable(query: bytes) -> None:
    """Refuse bytes that are not UTF-8; percent-encoded ones are read leniently, these would be a fault later."""
    if not query.isascii():
        try:
            query.decode("utf-8")
        except UnicodeDecodeError:
            raise BadRequest(message("bad_request")) from None


@lru_cache(maxsize=64)
def _names(origin: str, others: tuple[str, ...]) -> set[str]:
    parts = urlsplit(origin)
    names = {parts.netloc.lower(), *(name.lower() for name in others)}
    return names | {f"{name}:{DEFAULT_PORTS[parts.scheme]}" for name in names if ":" not in name}
