"""Latchkey: sign in with whatever you hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask

if TYPE_CHECKING:
    from config.settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """Return the service, bound to ``settings`` (read from the environment when None).

    :raises ConfigurationError: when the settings are not safe to start with
    """
    from app import assembly
    from config.settings import Settings

    app = assembly.Latchkey(__name__)
    assembly.configure(app, settings or Settings.load())
    assembly.bind_extensions(app)
    assembly.guard_requests(app)
    assembly.serve_journeys(app)
    assembly.add_commands(app)
    return app
