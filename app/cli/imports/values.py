"""Read values in the forms that exports use: JSON, text in CSV, and PostgreSQL's notation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from app import clock
from app.cli.otpauth import NotSupported

LEVELS = 100
"""Maximum nesting of lists and objects. JSON serializers fail at some depth beyond that."""

TRUE, FALSE = {"t", "true", "1", "yes"}, {"f", "false", "0", "no", ""}


def is_shallow(value: object, levels: int = LEVELS) -> bool:
    """Return whether the nesting of lists and objects in a value is within the limit."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(is_shallow(each, levels - 1) for each in inside if isinstance(each, (dict, list)))


def text(values: dict[str, Any], *names: str) -> str:
    """Return the first of these members that is a nonempty string or a number, as text; else ""."""
    for name in names:
        value = values.get(name)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value).strip():
            return str(value).strip()
    return ""


def flag(values: dict[str, Any], *names: str) -> bool | None:
    """Return the first of these members that is a yes or no value; None when there is none."""
    for name in names:
        value = values.get(name)
        if isinstance(value, (bool, int)):
            return bool(value)
        if isinstance(value, str) and value.strip().lower() in TRUE | FALSE:
            return value.strip().lower() in TRUE
    return None


def number(values: dict[str, Any], name: str, usual: int) -> int:
    """Return an integer, or ``usual`` when the member is missing.

    :raises NotSupported: when it isn't an integer
    """
    value = text(values, name)
    if value and not (value.isascii() and value.isdigit() and len(value) < 12):
        raise NotSupported(f"has no number as {name}")
    return int(value or usual)


def is_set(values: dict[str, Any], name: str) -> bool | None:
    """Return whether a member has a value, such as a time; None if the member doesn't exist."""
    return bool(text(values, name)) if name in values else None


def mapping(value: object) -> dict[str, Any]:
    """Return an object, parsing it if it is a string; {} for anything else."""
    found = _parsed(value)
    return found if isinstance(found, dict) else {}


def items(value: object) -> list[Any]:
    """Return a list, parsing it if it is a string of JSON or a PostgreSQL array; [] for anything else."""
    if isinstance(value, str) and value.startswith("{") and value.endswith("}") and ":" not in value:
        return [name.strip('"') for name in value[1:-1].split(",") if name]
    found = _parsed(value)
    return found if isinstance(found, list) else []


def objects(value: object) -> list[dict[str, Any]]:
    """Return the objects in a list."""
    return [each for each in items(value) if isinstance(each, dict)]


def names(value: object) -> list[str]:
    """Return the strings in a list, and the ``name`` of objects in it. A single string is split at commas."""
    if isinstance(value, str) and value[:1] not in ("[", "{"):
        return [name.strip() for name in value.split(",") if name.strip()]
    found = [text(each, "name") if isinstance(each, dict) else each for each in items(value)]
    return [name for name in found if isinstance(name, str) and name]


def is_ahead(value: str) -> bool:
    """Return whether an ISO 8601 or PostgreSQL time is in the future; True if it can't be parsed.

    The account is blocked until then, so a value in an unknown format is treated as a block.
    """
    if not value:
        return False
    try:
        at = datetime.fromisoformat(value.strip() if value[-3:-2] not in ("+", "-") else f"{value.strip()}:00")
    except ValueError:
        return True
    return (at if at.tzinfo else at.replace(tzinfo=UTC)) > clock.now()


def _parsed(value: object) -> object:
    if not isinstance(value, (str, bytes)) or not value:
        return value
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    return found if is_shallow(found) else None
