"""Values as exports have them: the same thing as JSON, as text in CSV and as PostgreSQL writes it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from app import clock
from app.cli.otpauth import NotCarried

LEVELS = 100
"""Of lists and objects in each other. What writes JSON again stops somewhere behind that."""

TRUE, FALSE = {"t", "true", "1", "yes"}, {"f", "false", "0", "no", ""}


def is_shallow(value: object, levels: int = LEVELS) -> bool:
    """Say whether lists and objects in a value are nested no deeper than exports have them."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(is_shallow(each, levels - 1) for each in inside if isinstance(each, (dict, list)))


def text(values: dict[str, Any], *names: str) -> str:
    """Return the first of these members that is a text or number with anything in it, as text; else ""."""
    for name in names:
        value = values.get(name)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value).strip():
            return str(value).strip()
    return ""


def flag(values: dict[str, Any], *names: str) -> bool | None:
    """Return the first of these members that says yes or no; None when none does."""
    for name in names:
        value = values.get(name)
        if isinstance(value, (bool, int)):
            return bool(value)
        if isinstance(value, str) and value.strip().lower() in TRUE | FALSE:
            return value.strip().lower() in TRUE
    return None


def number(values: dict[str, Any], name: str, usual: int) -> int:
    """Return a whole number, ``usual`` when there is none.

    :raises NotCarried: when something else stands there
    """
    said = text(values, name)
    if said and not (said.isascii() and said.isdigit() and len(said) < 12):
        raise NotCarried(f"has no number as {name}")
    return int(said or usual)


def is_set(values: dict[str, Any], name: str) -> bool | None:
    """Say whether a member has a value, such as a time; None where there is no such member."""
    return bool(text(values, name)) if name in values else None


def mapping(value: object) -> dict[str, Any]:
    """Return an object, also one that is written as text; {} for anything else."""
    found = _parsed(value)
    return found if isinstance(found, dict) else {}


def items(value: object) -> list[Any]:
    """Return a list, also one that is written as text, as JSON or as PostgreSQL writes arrays; [] for anything else."""
    if isinstance(value, str) and value.startswith("{") and value.endswith("}") and ":" not in value:
        return [name.strip('"') for name in value[1:-1].split(",") if name]
    found = _parsed(value)
    return found if isinstance(found, list) else []


def objects(value: object) -> list[dict[str, Any]]:
    """Return the objects in a list."""
    return [each for each in items(value) if isinstance(each, dict)]


def names(value: object) -> list[str]:
    """Return the texts in a list; of objects in it their ``name``. One text alone is a list of it."""
    if isinstance(value, str) and value[:1] not in ("[", "{"):
        return [name.strip() for name in value.split(",") if name.strip()]
    found = [text(each, "name") if isinstance(each, dict) else each for each in items(value)]
    return [name for name in found if isinstance(name, str) and name]


def is_ahead(value: str) -> bool:
    """Say whether a time, as ISO 8601 or PostgreSQL has it, is still to come; True for what can't be read.

    Until then an account is shut out: what says so in a form that is not known is believed.
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
