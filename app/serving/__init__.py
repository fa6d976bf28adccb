"""``flask serve``: the production server, its worker processes and the delivery of messages, as one program.

Promises: it refuses to start unsafe, a slow client holds no place in the application, what dies is started again,
and a stop lets running requests end and leaves no process behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def init_app(app: Flask) -> None:
    """Add ``flask serve``."""
    from app.commands import add_command, from_modules

    add_command(app, "serve", from_modules("serve_command", "app.serving.cli"))
