"""Hosts this service answers for: those in its settings, never one a request claims (ASVS 4.1.3)."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit

from flask import Response, redirect
from werkzeug.exceptions import BadRequest

from app.extensions import request, settings
from app.web.messages import message

DEFAULT_PORTS = {"http": 80, "https": 443}
LOOPBACK = frozenset(("127.0.0.1", "localhost", "[::1]"))
MACHINES_ASK = frozenset(("/healthz", "/readyz"))
"""Paths that a load balancer asks by address, and that say nothing worth a forged name."""


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
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if settings.is_production or name not in LOOPBACK:
        raise BadRequest(message("host_unknown"))
    parts = urlsplit(settings.origin)
    opened = request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"
    if opened and parts.hostname in LOOPBACK and host.removeprefix(name) == f":{parts.port}":
        return redirect(settings.origin + request.full_path.removesuffix("?"))  # type: ignore[return-value]
    return None


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
