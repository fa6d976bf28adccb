"""Message kinds used only in tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask


def teach(app: Flask, kind: str, renderer: Callable[..., Any], *, reads: Callable[..., Any] | None = None) -> None:
    """Register ``renderer`` for messages of ``kind``. Can be repeated, because applications are reused."""
    app.extensions["latchkey.renderers"][kind] = (renderer, reads)
