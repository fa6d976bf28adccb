"""The operator's own looks: logo, icon and image, and a style sheet with the accent color.

Promises that each file is served from an address of ours that changes with it, and that nothing else is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint

if TYPE_CHECKING:
    from flask import Flask

bp = Blueprint("branding", __name__)


def init_app(app: Flask) -> None:
    """Read the files once, serve them below ``/brand``, and tell templates where they are.

    :raises ConfigurationError: when one of them is no image
    """
    from app.branding import views  # noqa: F401 - its functions register themselves
    from app.branding.files import Branding

    branding = Branding.of(app.extensions["latchkey.settings"])
    app.extensions["latchkey.branding"] = branding
    app.jinja_env.globals["branding"] = branding
    app.register_blueprint(bp)
