"""Read what providers post: JSON of any shape, of which a wrong part is no part."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from app.bounces.refusals import Refused


def read(body: bytes) -> Any:
    """Return the JSON that a body is. Raises Refused."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Refused("not_json", 400) from None


def part(value: Any, *names: str) -> dict[str, Any]:
    """Return the object at these names, an empty one when there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def text(value: Any, name: str) -> str:
    """Return the text, or number as text, of an object; "" when it is neither."""
    found = value.get(name) if isinstance(value, dict) else None
    return str(found) if isinstance(found, (str, int, float)) and not isinstance(found, bool) else ""


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects of a list; of anything else none, and of an object itself."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, dict):
            yield each
