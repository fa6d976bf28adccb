"""Parameters of a request, each of them once and of a bounded length (RFC 6749, sections 3.1 and 3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import request
from werkzeug.datastructures import MultiDict

from app.oidc.errors import OAuthError

LONGEST = 2048
LONGEST_OF = {"claims": 8192, "id_token_hint": 8192, "client_assertion": 8192, "request": 65536, "token": 8192}
MANY = frozenset(("resource",))
"""Parameters that may be sent more than once (RFC 8707, section 2)."""

MOST_VALUES = 8


def single_values(given: MultiDict[str, str]) -> dict[str, str]:
    """Return each parameter's value without empty ones; those that may be sent several times are joined by spaces.

    :raises OAuthError: ``invalid_request`` for one that is sent twice, is too long, or has a NUL in it
    """
    found: dict[str, str] = {}
    for name, values in given.lists():
        if fault := _fault(name, values):
            raise OAuthError("invalid_request", fault)
        if values[0]:
            found[name] = " ".join(values)
    return found


def _fault(name: str, values: Sequence[str]) -> str:
    """Return what is wrong with a parameter, or ""."""
    shown = name if name.isascii() and name.replace("_", "").isalnum() and len(name) <= 40 else "A parameter"
    if len(values) > (MOST_VALUES if name in MANY else 1):
        return f"{shown} is sent more than once."
    if any(len(value) > LONGEST_OF.get(name, LONGEST) for value in values):
        return f"{shown} is too long."
    if any("\x00" in value or (name in MANY and " " in value) for value in values):
        return f"{shown} has a character that it can't have."
    return ""


def form_fields() -> dict[str, str]:
    """Return the parameters of a request to an endpoint that takes forms alone.

    :raises OAuthError: ``invalid_request`` for another type of body, and as ``single_values``
    """
    if request.mimetype != "application/x-www-form-urlencoded":
        raise OAuthError("invalid_request", "Send the parameters as application/x-www-form-urlencoded.")
    return single_values(request.form)


def required(fields: Mapping[str, str], name: str) -> str:
    """Return a parameter that must be there.

    :raises OAuthError: ``invalid_request`` when it is not
    """
    if not (value := fields.get(name)):
        raise OAuthError("invalid_request", f"{name} is missing.")
    return value


def words(fields: Mapping[str, Any], name: str) -> list[str]:
    """Return the words of a space-separated parameter, each once, in their order."""
    return list(dict.fromkeys(str(fields.get(name, "")).split()))
