"""Logos of apps: files beside the clients file, read once at start and served by us.

An app's own address of a logo is not shown: with it, each look at a page would tell that app's server who looks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from app.extensions import this_app

if TYPE_CHECKING:
    from flask import Flask

    from config.images import Image

PLACE = "/apps/logo"
_IN_MEMORY = "latchkey.oidc.logos"


def keep_in_memory(app: Flask, logos: Mapping[str, Image]) -> None:
    """Keep the logos of the clients file, by client id, with ``app``."""
    names = {client_id: _name(image) for client_id, image in logos.items()}
    app.extensions[_IN_MEMORY] = names, {names[client_id]: image for client_id, image in logos.items()}


def logo_path(client_id: str) -> str:
    """Return where a client's logo is served; "" for one that has none."""
    name = _kept()[0].get(client_id)
    return f"{PLACE}/{name}" if name else ""


def find_logo(name: str) -> Image | None:
    """Return the logo that is served by this name."""
    return _kept()[1].get(name)


def _kept() -> tuple[Mapping[str, str], Mapping[str, Image]]:
    found: tuple[Mapping[str, str], Mapping[str, Image]] = this_app().extensions.get(_IN_MEMORY, ({}, {}))
    return found


def _name(image: Image) -> str:
    """Return the name of a logo in its address. It changes with the file."""
    return f"{hashlib.sha256(image.data).hexdigest()[:32]}.{image.kind}"
