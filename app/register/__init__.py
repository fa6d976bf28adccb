"""Create an account with an email or phone number, and confirm it; accept invitations.

Guarantees that an unverified address gives access to nothing.
"""

from flask import Blueprint, Flask

bp = Blueprint("register", __name__)


def init_app(app: Flask) -> None:
    """Register this package's URLs and its email."""
    from app.outbox import register_renderers
    from app.register import emails, invite_views, views  # noqa: F401 - they register themselves

    register_renderers(app, emails.RENDERERS, reads=emails.invitations_of)
    app.register_blueprint(bp)
