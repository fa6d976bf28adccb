"""Safe redirect targets: paths on this site, or URLs at a front end named in the settings.

Browsers parse URLs by the WHATWG URL standard, which treats a backslash as a slash and strips tabs and newlines. So
only plain paths are accepted: no check here depends on parsing a URL the way a browser does.
"""

from __future__ import annotations

import re
from urllib.parse import urlencode, urlsplit, urlunsplit

from flask import request

from app.extensions import settings
from app.web.sub_path import path_below

_PLAIN_PATH = re.compile(r"/(?![/\\])[^\\\s\x00-\x1f\x7f]*\Z")
_RELATIVE = re.compile(r"[A-Za-z0-9_~-]+(?:[/?][\w.~/?=&%+-]*)?\Z", re.ASCII)
"""An absolute path without its leading slash. Anything with a colon, or that looks like a host, doesn't match."""

MAX_LENGTH = 2048


def safe_next(target: str | None) -> str | None:
    """Return ``target`` as a path on this site, or None if it isn't one (ASVS 3.7.2).

    Accepts a path, with or without its leading slash, and a full URL of this service, which is reduced to its path
    below the public URL. A URL at a front end (an origin that the settings redirect people to) is returned whole, also
    when Latchkey itself is served below a path of that host.
    """
    if not target or len(target) > MAX_LENGTH:
        return None
    if target.startswith(settings.public_url + "/"):
        return _path(target[len(settings.public_url) :])
    for origin in settings.front_ends:
        if target.startswith(origin + "/"):
            path = _path(target[len(origin) :])
            return origin + path if path else None
    path = _path(target)
    return path_below(path, settings.sub_path) if path and settings.sub_path else path


def _path(target: str) -> str | None:
    """Return ``target`` as a plain absolute path, or None if it isn't one."""
    if _RELATIVE.match(target):
        target = "/" + target
    if not _PLAIN_PATH.match(target):
        return None
    path = re.split(r"[?#]", target, maxsplit=1)[0]
    if "//" in path or any(part in (".", "..") for part in path.split("/")):
        return None
    return target


def next_or(default: str, field: str | None = None) -> str:
    """Return the redirect target: the form's ``next``, else the query's, else ``default``."""
    return safe_next(field) or safe_next(request.args.get("next")) or default


def with_query(target: str, **parameters: str | int) -> str:
    """Return ``target`` with ``parameters`` appended to its query."""
    scheme, netloc, path, query, fragment = urlsplit(target)
    added = urlencode(parameters)
    return urlunsplit((scheme, netloc, path, f"{query}&{added}" if query else added, fragment))


def requested_page() -> str:
    """Return the path of this request, with its query."""
    return request.full_path if request.query_string else request.path


def login_with_next() -> str:
    """Return the URL of the sign-in page, with a ``next`` that leads back to this request."""
    return with_query("/login", next=requested_page())
