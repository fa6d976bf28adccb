"""Health, readiness, and the OpenAPI description.

Guarantees that load balancers get an accurate answer and strangers get no details.
"""

from flask import Blueprint, Flask

bp = Blueprint("status", __name__)


def init_app(app: Flask) -> None:
    """Register the health and description endpoints."""
    from app.status import views  # noqa: F401 - they register themselves

    app.register_blueprint(bp)
