"""Read what providers post: JSON of any shape, of which a wrong part is no part. Refused: why it is not taken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


class Refused(Exception):
    """A request that its provider can't have made, or that can't be checked yet.

    :ivar reason: a code for the log and the answer; says nothing that was sent
    :ivar status: 400 for what can't be read, 401 without credentials, 403 for wrong ones, 503 to have it sent again
    """

    def __init__(self, reason: str, status: int = 403) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


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
