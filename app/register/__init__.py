"""Create an account with an email, and confirm it.

Promises that an address that was not proved opens nothing.
"""

from flask import Blueprint, Flask

bp = Blueprint("register", __name__)


def init_app(app: Flask) -> None:
    """Register this feature's URLs."""
    from app.register import confirm_views, views  # noqa: F401 - they register themselves

    app.register_blueprint(bp)
