"""My data: take along what is kept about one.

Promises that an export holds everything that is its owner's and no secret, and that it is fetched by nobody else.
"""

from flask import Blueprint

bp = Blueprint("mydata", __name__)


def init_app(app) -> None:  # type: ignore[no-untyped-def]
    """Serve this journey's addresses."""
    from app.mydata import views  # noqa: F401 - they register themselves

    app.register_blueprint(bp)
