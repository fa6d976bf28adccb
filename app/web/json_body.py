"""Read a JSON body strictly: one object, UTF-8, no duplicate names, no NaN, not too deep (RFC 8259)."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from flask import g, request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest

from app.extensions import settings
from app.web.messages import message


def sends_json() -> bool:
    """Say whether the body is JSON by its type, or by one that is built on it (``application/...+json``, RFC 6839)."""
    kind = request.mimetype
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def json_members() -> MultiDict[str, Any]:
    """Return the members of the body as a multi-dict: a list is several values, null is no value.

    An empty body has no members.
    :raises BadRequest: on anything that is not one JSON object, with its sentence as description
    """
    if "json_members" not in g:
        g.json_members = _members(json_object())
    members: MultiDict[str, Any] = g.json_members
    return members


def json_object() -> dict[str, Any]:
    """Return the body as it is: one JSON object; an empty body is an empty one.

    :raises BadRequest: as ``json_members``
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
    """Return the JSON object that a document is, read as strictly.

    :raises ValueError: when it is none
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
    """Count brackets before parsing; those inside strings count too, which only ever refuses more."""
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
    """Refuse NUL and lone surrogates, which can only come in by escapes."""
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


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse)
