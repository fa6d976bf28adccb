"""The account page: who am I here, and how do I come in.

Promises to show a person everything about their account that matters for signing in.
"""

from flask import Blueprint

bp = Blueprint("account", __name__)


def init_app(app) -> None:  # type: ignore[no-untyped-def]
    """Serve this journey's addresses."""
    from app.account import views  # noqa: F401 - they register themselves

    app.register_blueprint(bp)
