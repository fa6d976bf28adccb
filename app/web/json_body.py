"""Strict JSON parsing: a single object, UTF-8, no duplicate names, no NaN, limited nesting (RFC 8259)."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from flask import g, request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest

from app.extensions import settings
from app.web.messages import message


def sends_json() -> bool:
    """Return whether the content type is JSON or based on JSON (``application/...+json``, RFC 6839)."""
    kind = request.mimetype
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def json_members() -> MultiDict[str, Any]:
    """Return the members of the JSON body as a multi-dict: lists become multiple values, nulls are dropped.

    An empty body has no members.
    :raises BadRequest: if the body isn't a single JSON object, with the error message as description
    """
    if "json_members" not in g:
        g.json_members = _members(json_object())
    members: MultiDict[str, Any] = g.json_members
    return members


def json_object() -> dict[str, Any]:
    """Return the JSON object in the body; an empty body counts as an empty object.

    :raises BadRequest: see ``json_members``
    """
    body = request.get_data()
    if not body.strip():
        return {}
    try:
        parsed = _parsed(body)
    except ValueError:
        raise BadRequest(message("json_invalid")) from None
    if not isinstance(parsed, dict):
        raise BadRequest(message("json_not_an_object"))
    return parsed


def read_object(body: bytes) -> dict[str, Any]:
    """Parse a document as a JSON object, with the same strict rules.

    :raises ValueError: if it isn't one
    """
    parsed = _parsed(body)
    if not isinstance(parsed, dict):
        raise ValueError("no object")
    return parsed


def _parsed(body: bytes) -> Any:
    text = body.decode("utf-8")
    _check_depth(text)
    try:
        parsed = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    _check_characters(text, parsed)
    return parsed


def _members(parsed: dict[str, Any]) -> MultiDict[str, Any]:
    members: MultiDict[str, Any] = MultiDict()
    for name, value in parsed.items():
        values = [one for one in (value if isinstance(value, list) else [value]) if one is not None]
        if values:
            members.setlist(name, values)
    return members


def _check_depth(text: str) -> None:
    """Limit nesting by counting brackets before parsing. Counts those in strings too, which errs on the strict side."""
    most = settings.json_depth
    if text.count("{") + text.count("[") <= most:
        return
    depth = 0
    for character in text:
        if character in "{[":
            depth += 1
        elif character in "}]":
            depth -= 1
        if depth > most:
            raise ValueError("nested too deeply")


def _check_characters(text: str, parsed: Any) -> None:
    """Reject NUL and lone surrogates, which can only come from escape sequences."""
    if "\\u" in text:
        plain = json.dumps(parsed, ensure_ascii=False)
        plain.encode("utf-8")
        if "\\u0000" in plain:
            raise ValueError("NUL in a string")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice")
    return members


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_reject_constant)
