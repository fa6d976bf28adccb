"""Parse providers' requests: JSON of any shape, in which parts of the wrong type count as missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


class WebhookRejected(Exception):
    """A request that can't be from the provider, or can't be verified yet.

    :ivar reason: code for the log and the response, without anything from the request
    :ivar status: 400 if it can't be parsed, 401 without credentials, 403 for wrong ones, 503 to have it sent again
    """

    def __init__(self, reason: str, status: int = 403) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


def read(body: bytes) -> Any:
    """Parse a JSON body. Raises WebhookRejected."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise WebhookRejected("not_json", 400) from None


def part(value: Any, *names: str) -> dict[str, Any]:
    """Return the object nested under these names; an empty one if there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def text(value: Any, name: str) -> str:
    """Return a member of an object that is a string or number, as text; "" otherwise."""
    found = value.get(name) if isinstance(value, dict) else None
    return str(found) if isinstance(found, (str, int, float)) and not isinstance(found, bool) else ""


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects in a list, or the value itself if it is an object; nothing otherwise."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, dict):
            yield each
