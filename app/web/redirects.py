"""Where to go next: on this site, or a front end named in the settings.

Browsers read addresses by the WHATWG URL standard, which takes a backslash for a slash and drops tabs and line
ends. So what is let through is a plain path: no check here depends on parsing it the way a browser does.
"""

from __future__ import annotations

import re
from urllib.parse import urlencode, urlsplit, urlunsplit

from flask import request

from app.extensions import settings
from app.web.sub_path import path_below

_PLAIN_PATH = re.compile(r"/(?![/\\])[^\\\s\x00-\x1f\x7f]*\Z")
_RELATIVE = re.compile(r"[A-Za-z0-9_~-]+(?:[/?][\w.~/?=&%+-]*)?\Z", re.ASCII)
"""A path from the top without its slash; what has a colon or looks like a host is none."""

LONGEST = 2048


def safe_next(target: str | None) -> str | None:
    """Return ``target`` as a path on this site, or None when it is not one (ASVS 3.7.2).

    Taken are a path, with or without its first slash, and a full address of this very service, cut down to its path
    below the public address. An address at a front end, an origin to which the settings lead people, stays whole; so
    does one beside a service that has a part of a host.
    """
    if not target or len(target) > LONGEST:
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
    """Return ``target`` as a plain path from the top, or None when it is not one."""
    if _RELATIVE.match(target):
        target = "/" + target
    if not _PLAIN_PATH.match(target):
        return None
    path = re.split(r"[?#]", target, maxsplit=1)[0]
    if "//" in path or any(part in (".", "..") for part in path.split("/")):
        return None
    return target


def next_or(default: str, field: str | None = None) -> str:
    """Return the place to go: the form's ``next``, else the query's, else ``default``."""
    return safe_next(field) or safe_next(request.args.get("next")) or default


def with_query(target: str, **parameters: str | int) -> str:
    """Return ``target`` with ``parameters`` added to whatever query it has."""
    scheme, netloc, path, query, fragment = urlsplit(target)
    added = urlencode(parameters)
    return urlunsplit((scheme, netloc, path, f"{query}&{added}" if query else added, fragment))


def page_asked_for() -> str:
    """Return the path of this request, with its query."""
    return request.full_path if request.query_string else request.path


def login_with_next() -> str:
    """Return the sign-in page that leads back to what is asked for now."""
    return with_query("/login", next=page_asked_for())
