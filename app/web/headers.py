"""Headers: validation of the Host header (ASVS 4.1.3), and the security headers of every response.

The service accepts the hosts in its settings only, whatever a request claims.
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

HEALTH_CHECK_PATHS = frozenset(("/healthz", "/readyz"))
"""Paths that load balancers request by IP address. Their responses are of no use to anyone who forges the Host."""


def csp_nonce() -> str:
    """Return this response's CSP nonce for scripts."""
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(16)
    return str(g.csp_nonce)


def no_referrer(response: Response) -> Response:
    """Keep the token in a page's URL out of the Referer header (ASVS 14.2.1)."""
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def set_headers(response: Response) -> Response:
    """Add the security headers (ASVS 3.4.1-3.4.8, 14.3.2). Headers that the view has set are kept."""
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
    """Return the security headers for responses that the server sends without calling the application."""
    more = [
        ("Referrer-Policy", "same-origin"),
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", NOT_A_PAGE),
    ]
    return [*FIXED, *more, *([HSTS] if hsts else [])]


def clear_site(response: Response) -> Response:
    """Clear the browser's cache and storage for this site after signing out (ASVS 14.3.1).

    Not if Latchkey is served below a path: that would also clear other applications' data on the host. Our pages
    aren't cached anyway.
    """
    if not settings.sub_path:
        response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


def _policy() -> str:
    """Return the content security policy for pages, which allows our own files only (ASVS 3.4.3)."""
    nonce = g.get("csp_nonce")
    script = f"'self' 'nonce-{nonce}'" if nonce else "'self'"
    # form-action also applies to the redirect after a form, so front ends must be listed to be reachable.
    forms = " ".join(["'self'", *settings.front_ends])
    return (
        f"default-src 'none'; script-src {script}; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; frame-src 'self'; manifest-src 'self'; object-src 'none'; base-uri 'none'; "
        f"form-action {forms}; frame-ancestors 'none'"
    )


def reject_unknown_host() -> Response | None:
    """Reject a request for an unknown Host, or with an undecodable query string (a ``before_request`` function).

    In development, a browser that opened another loopback name of this machine is redirected to the public URL:
    links in emails lead there, and cookies and passkeys aren't shared between host names.

    :raises BadRequest: with the error message as description
    """
    _reject_undecodable(request.query_string)
    host = request.environ.get("HTTP_HOST", "").lower()
    if host in _names(settings.origin, tuple(settings.allowed_hosts)) or request.path in HEALTH_CHECK_PATHS:
        return None
    if _is_served_for(request.path, host):
        return None
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if settings.is_production or name not in LOOPBACK:
        raise BadRequest(message("host_unknown"))
    parts = urlsplit(settings.origin)
    opened = request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"
    if opened and parts.hostname in LOOPBACK and host.removeprefix(name) == f":{parts.port}":
        return redirect(settings.public_url + request.full_path.removesuffix("?"))  # type: ignore[return-value]
    return None


def serve_other_hosts(app: Flask, place: str, accepts: Callable[[str], bool]) -> None:
    """Serve paths that start with ``place`` for other hosts, too, if ``accepts`` returns True for the Host."""
    app.extensions.setdefault(_OTHER_HOSTS, []).append((place, accepts))


def is_for_other_host() -> bool:
    """Return whether this request is served for a host that isn't ours."""
    host = request.environ.get("HTTP_HOST", "").lower()
    if host in _names(settings.origin, tuple(settings.allowed_hosts)):
        return False
    return _is_served_for(request.path, host)


def _is_served_for(path: str, host: str) -> bool:
    registered: list[tuple[str, Callable[[str], bool]]] = this_app().extensions.get(_OTHER_HOSTS, [])
    return any(path.startswith(place) and accepts(host) for place, accepts in registered)


def _reject_undecodable(query: bytes) -> None:
    """Reject raw bytes that aren't UTF-8. Percent-encoded ones are decoded leniently; raw ones would fail later on."""
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
