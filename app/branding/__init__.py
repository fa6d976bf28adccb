"""The operator's branding: logo, icon and image, and a style sheet with the accent color.

Guarantees that each file is served from a URL that changes with its content, and that no other file is served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint

if TYPE_CHECKING:
    from flask import Flask

bp = Blueprint("branding", __name__)


def init_app(app: Flask) -> None:
    """Read the files once, serve them below ``/brand``, and give templates their paths.

    :raises ConfigurationError: when one of them isn't an image
    """
    from app.branding import views  # noqa: F401 - its functions register themselves
    from app.branding.files import Branding

    branding = Branding.of(app.extensions["latchkey.settings"])
    app.extensions["latchkey.branding"] = branding
    app.jinja_env.globals["branding"] = branding
    app.register_blueprint(bp)
