"""Email addresses, phone number and username of an account: add, change, remove and undo.

Promises that an address is somebody's only after they proved it, and that every address hears what happens to one.
"""

from flask import Blueprint, Flask

bp = Blueprint("identities", __name__)


def init_app(app: Flask) -> None:
    """Register this feature's URLs."""
    from app.identities import change_email_views, views  # noqa: F401 - they register themselves

    app.register_blueprint(bp)
