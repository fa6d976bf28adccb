"""``flask serve``: the production server, its worker processes and message delivery in one program.

Guarantees: it refuses to start with unsafe settings, slow clients don't occupy application threads, processes that die
are restarted, and on a stop it finishes running requests and leaves no process behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def init_app(app: Flask) -> None:
    """Add ``flask serve``."""
    from app.commands import add_command, from_modules

    add_command(app, "serve", from_modules("serve_command", "app.serving.cli"))
