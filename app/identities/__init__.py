"""Email addresses, phone number and username of an account: add, change, remove and undo.

Guarantees that an address belongs to an account only after it was verified, and that all of the account's addresses
are notified of changes to any of them.
"""

from flask import Blueprint, Flask

bp = Blueprint("identities", __name__)


def init_app(app: Flask) -> None:
    """Register this feature's URLs."""
    from app.identities import change_email_views, views  # noqa: F401 - they register themselves

    app.register_blueprint(bp)
