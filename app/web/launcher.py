"""What a person can open: a feature registers its own apps, and the page of apps lists those of all."""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.extensions import this_app

if TYPE_CHECKING:
    from flask import Flask

TINTS = 4
"""Colors of the letters that stand for a logo; app.css has a class for each."""

_REGISTERED = "latchkey.launchers"


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
    app.extensions.setdefault(_REGISTERED, []).append(entries)


def registered_entries(groups: Collection[str]) -> list[LauncherEntry]:
    """Return the apps that features have registered, for a member of these groups."""
    registered: list[List] = this_app().extensions.get(_REGISTERED, [])
    return [entry for entries in registered for entry in entries(groups)]


def letter_of(name: str) -> str:
    """Return what stands for an app without a logo: the first letter or digit of its name, with its marks."""
    start = next((at for at, character in enumerate(name) if character.isalnum()), 0)
    end = start + 1
    while end < len(name) and unicodedata.category(name[end]).startswith("M"):
        end += 1
    return name[start:end].upper()[: end - start]


def tint_of(app_id: str) -> int:
    """Return which color an app's letter has, from 1: always the same one."""
    return zlib.crc32(app_id.encode()) % TINTS + 1
