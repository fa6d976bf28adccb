"""My data: take along what is kept about one, or have it erased.

Promises that an export holds everything that is its owner's and no secret, and that it is fetched by nobody else;
that an account is erased only after its owner could think better of it, and then without anything that leads to them.
"""

from flask import Blueprint

bp = Blueprint("privacy", __name__)


def init_app(app) -> None:  # type: ignore[no-untyped-def]
    """Serve this journey's addresses."""
    from app.privacy import undo_views, views  # noqa: F401 - they register themselves

    app.register_blueprint(bp)
