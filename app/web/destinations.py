"""Where people can go, as features register it: what a ``next`` leads to, and the apps that a person can open.

The sign-in page names the first, the page of apps lists the others.
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
"""Colors of the letters that stand for a logo; app.css has a class for each."""

_DESTINATIONS = "latchkey.destinations"
_LAUNCHERS = "latchkey.launchers"


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
    app.extensions.setdefault(_DESTINATIONS, {})[path] = describe


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
    registered: dict[str, Describe] = this_app().extensions.get(_DESTINATIONS, {})
    return registered.get(parts.path) if not parts.netloc else None


@dataclass(frozen=True, slots=True)
class LauncherEntry:
    """An app that a person can open.

    :ivar logo: path of its logo; where it is "", ``letter`` is shown, in the color of the number ``tint``
    """

    id: str
    name: str
    url: str
    host: str
    letter: str
    tint: int
    logo: str = ""


List = Callable[[Collection[str]], list[LauncherEntry]]
"""Returns the apps of a member of these groups."""


def register_launcher(app: Flask, entries: List) -> None:
    """Have the page of apps list more."""
    app.extensions.setdefault(_LAUNCHERS, []).append(entries)


def registered_entries(groups: Collection[str]) -> list[LauncherEntry]:
    """Return the apps that features have registered, for a member of these groups."""
    registered: list[List] = this_app().extensions.get(_LAUNCHERS, [])
    return [entry for entries in registered for entry in entries(groups)]


def letter_of(name: str) -> str:
    """Return what stands for an app without a logo: the first letter or digit of its name, with its marks.

    It is in title case, which is upper case but for Georgian: fonts often lack its capitals, and no name begins so.
    """
    start = next((at for at, character in enumerate(name) if character.isalnum()), 0)
    end = start + 1
    while end < len(name) and unicodedata.category(name[end]).startswith("M"):
        end += 1
    return name[start:end].title()[: end - start]


def tint_of(app_id: str) -> int:
    """Return which color an app's letter has, from 1: always the same one."""
    return zlib.crc32(app_id.encode()) % TINTS + 1
