"""Messages of kinds that only tests know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask


def teach(app: Flask, kind: str, renderer: Callable[..., Any], *, reads: Callable[..., Any] | None = None) -> None:
    """Have ``renderer`` say what messages of ``kind`` say; teaching it again is no fault, for apps are kept."""
    app.extensions["latchkey.renderers"][kind] = (renderer, reads)
