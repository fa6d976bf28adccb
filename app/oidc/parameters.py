"""Request parameters: each is sent once and limited in length (RFC 6749, sections 3.1 and 3.2)."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from flask import request
from werkzeug.datastructures import MultiDict

from app.oidc.errors import OAuthError

MAX_LENGTH = 2048
_MAX_LENGTHS = dict.fromkeys(("access_token", "claims", "client_assertion", "id_token_hint", "token"), 8192)
_MAX_LENGTHS |= {"request": 65536}
REPEATABLE = frozenset(("resource",))
"""Parameters that may be sent more than once (RFC 8707, section 2)."""

MAX_VALUES = 8

AUTHORIZATION_PARAMETERS = frozenset((
    "response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "nonce", "prompt", "max_age",
    "acr_values", "login_hint", "id_token_hint", "ui_locales", "claims_locales", "display", "claims", "request",
    "request_uri", "registration", "code_challenge", "code_challenge_method", "resource", "dpop_jkt",
))  # fmt: skip
"""Parameters of an authorization request; any others are ignored (RFC 6749, section 3.1)."""

LOGOUT_PARAMETERS = frozenset(
    ("client_id", "id_token_hint", "logout_hint", "post_logout_redirect_uri", "state", "ui_locales")
)
"""Parameters of a logout request (RP-Initiated Logout 1.0, section 2)."""

UNREADABLE = "\ufffd"
"""Replaces invalid UTF-8 and, in a stored request, NUL."""

_FORBIDDEN = re.compile(f"[\0{UNREADABLE}]")


FORM = "application/x-www-form-urlencoded"


def query_parameters() -> MultiDict[str, str]:
    """Return the query parameters of this request."""
    return _read(request.query_string)


def form_parameters() -> MultiDict[str, str]:
    """Return the form parameters of this request; none if the body is not a form."""
    return _read(request.get_data()) if request.mimetype == FORM else MultiDict()


def _read(encoded: bytes) -> MultiDict[str, str]:
    """Parse parameters, with ``UNREADABLE`` for invalid UTF-8. Werkzeug would keep ``%FF``, as if that were meant."""
    return MultiDict(parse_qsl(encoded.decode(errors="replace"), keep_blank_values=True, errors="replace"))


def max_length_of(name: str) -> int:
    """Return the maximum length of a parameter."""
    return _MAX_LENGTHS.get(name, MAX_LENGTH)


def single_values(parameters: MultiDict[str, str], names: Container[str] | None = None) -> dict[str, str]:
    """Return each parameter's value, without empty ones; parameters that may be repeated are joined by spaces.

    :param names: parameters to read; None for all
    :raises OAuthError: ``invalid_request`` for one that is repeated, too long, contains a NUL or is invalid UTF-8
    """
    found: dict[str, str] = {}
    for name, values in parameters.lists():
        if names is not None and name not in names:
            continue
        if fault := _problem_with(name, values):
            raise OAuthError("invalid_request", fault)
        if values[0]:
            found[name] = " ".join(values)
    return found


def _problem_with(name: str, values: Sequence[str]) -> str:
    """Return what is wrong with a parameter, or ""."""
    is_repeatable = name in REPEATABLE
    if len(values) > (MAX_VALUES if is_repeatable else 1):
        problem = "is sent more than once"
    elif max(map(len, values)) > max_length_of(name):
        problem = "is too long"
    elif any(map(_FORBIDDEN.search, values)) or (is_repeatable and " " in "".join(values)):
        problem = "has a character that it can't have"
    else:
        return ""
    label = name if name.isascii() and name.replace("_", "").isalnum() and len(name) <= 40 else "A parameter"
    return f"{label} {problem}."


def single_value(parameters: MultiDict[str, str], name: str) -> str | None:
    """Return a valid parameter, whatever is wrong with others; None if it is missing or invalid.

    An empty parameter counts as missing (RFC 6749, section 3.1).
    """
    values = parameters.getlist(name)
    return values[0] if values and values[0] and not _problem_with(name, values) else None


def form_fields() -> dict[str, str]:
    """Return the parameters of a request to an endpoint that only accepts forms.

    :raises OAuthError: ``invalid_request`` for another content type, and like ``single_values``
    """
    if request.mimetype != FORM:
        raise OAuthError("invalid_request", f"Send the parameters as {FORM}.")
    return single_values(form_parameters())


def required(fields: Mapping[str, str], name: str) -> str:
    """Return a required parameter.

    :raises OAuthError: ``invalid_request`` if it is missing
    """
    if not (value := fields.get(name)):
        raise OAuthError("invalid_request", f"{name} is missing.")
    return value


def words(fields: Mapping[str, Any], name: str) -> list[str]:
    """Return the words of a space-separated parameter in order, without duplicates."""
    return list(dict.fromkeys(str(fields.get(name, "")).split()))
