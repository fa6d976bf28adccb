"""Create an account with an email, and confirm it; accept invitations.

Promises that an address that was not proved opens nothing.
"""

from flask import Blueprint, Flask

bp = Blueprint("register", __name__)


def init_app(app: Flask) -> None:
    """Register this feature's URLs and its email."""
    from app.outbox import register_renderers
    from app.register import emails, invite_views, views  # noqa: F401 - they register themselves

    register_renderers(app, emails.RENDERERS, reads=emails.invitations_of)
    app.register_blueprint(bp)
