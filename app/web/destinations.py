"""Registry of destinations: what a ``next`` path leads to, and the apps that a person can open.

The sign-in page shows the name of the former; the apps page lists the latter.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from app.extensions import this_app

if TYPE_CHECKING:
    from flask import Flask

TINTS = 4
"""Number of colors for the letters of apps without a logo. app.css has a class for each."""

_DESTINATIONS = "latchkey.destinations"
_LAUNCHERS = "latchkey.launchers"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where people go after signing in.

    :ivar logo: path of the logo; if "", ``letter`` is shown in color ``tint``
    """

    name: str
    logo: str = ""
    letter: str = ""
    tint: int = 1


Describe = Callable[[Mapping[str, str]], Destination | None]
"""Returns the destination of a path, given its query parameters."""


def register_destination(app: Flask, path: str, describe: Describe) -> None:
    """Register ``describe`` as the source of the destination's name for ``path``."""
    app.extensions.setdefault(_DESTINATIONS, {})[path] = describe


def destination_of(target: str | None) -> Destination | None:
    """Return the destination of a path on this site; None if no feature has registered it."""
    describe = _describe(target)
    return describe(dict(parse_qsl(urlsplit(target or "").query))) if describe is not None else None


def is_destination(target: str) -> bool:
    """Return whether a feature has registered this path."""
    return _describe(target) is not None


def _describe(target: str | None) -> Describe | None:
    try:
        parts = urlsplit(target or "")
    except ValueError:  # a form rejected for its ``next`` is shown again with it
        return None
    registered: dict[str, Describe] = this_app().extensions.get(_DESTINATIONS, {})
    return registered.get(parts.path) if not parts.netloc else None


@dataclass(frozen=True, slots=True)
class LauncherEntry:
    """An app that a person can open.

    :ivar logo: path of the logo; if "", ``letter`` is shown in color ``tint``
    """

    id: str
    name: str
    url: str
    host: str
    letter: str
    tint: int
    logo: str = ""


LauncherProvider = Callable[[Collection[str]], list[LauncherEntry]]
"""Returns the apps that a member of these groups can open."""


def register_launcher(app: Flask, entries: LauncherProvider) -> None:
    """Add entries to the apps page."""
    app.extensions.setdefault(_LAUNCHERS, []).append(entries)


def registered_entries(groups: Collection[str]) -> list[LauncherEntry]:
    """Return the apps that all features list for a member of these groups."""
    registered: list[LauncherProvider] = this_app().extensions.get(_LAUNCHERS, [])
    return [entry for entries in registered for entry in entries(groups)]


def letter_of(name: str) -> str:
    """Return the letter shown for an app without a logo: the first letter or digit of its name, with combining marks.

    Title case equals upper case except in Georgian: fonts often lack its capitals, and names don't start with one.
    """
    start = next((at for at, character in enumerate(name) if character.isalnum()), 0)
    end = start + 1
    while end < len(name) and unicodedata.category(name[end]).startswith("M"):
        end += 1
    return name[start:end].title()[: end - start]


def tint_of(app_id: str) -> int:
    """Return the color number of an app's letter, starting at 1. It never changes for an app."""
    return zlib.crc32(app_id.encode()) % TINTS + 1
