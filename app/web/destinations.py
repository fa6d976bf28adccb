"""Where a ``next`` leads, as the sign-in page says it: a feature registers what a path of its own stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from app.extensions import this_app

if TYPE_CHECKING:
    from flask import Flask

_REGISTERED = "latchkey.destinations"


@dataclass(frozen=True, slots=True)
class Destination:
    """What people go to once they have signed in.

    :ivar logo: path of its logo; "" for one that is shown by ``letter``, in the color of the number ``tint``
    """

    name: str
    logo: str = ""
    letter: str = ""
    tint: int = 1


Describe = Callable[[Mapping[str, str]], Destination | None]
"""Says what a path leads to, from its query."""


def register_destination(app: Flask, path: str, describe: Describe) -> None:
    """Have pages name what ``path`` of this site leads to."""
    app.extensions.setdefault(_REGISTERED, {})[path] = describe


def destination_of(target: str | None) -> Destination | None:
    """Return what a path of this site leads to; None where no feature says so."""
    describe = _describe(target)
    return describe(dict(parse_qsl(urlsplit(target or "").query))) if describe is not None else None


def is_destination(target: str) -> bool:
    """Whether this path is one of those that features have registered."""
    return _describe(target) is not None


def _describe(target: str | None) -> Describe | None:
    try:
        parts = urlsplit(target or "")
    except ValueError:  # a form that is refused for its ``next`` is shown with it
        return None
    registered: dict[str, Describe] = this_app().extensions.get(_REGISTERED, {})
    return registered.get(parts.path) if not parts.netloc else None
