"""Health, readiness, and the OpenAPI description.

Promises that a load balancer learns the truth and a stranger learns nothing.
"""

from flask import Blueprint, Flask

bp = Blueprint("status", __name__)


def init_app(app: Flask) -> None:
    """Register the URLs that machines ask."""
    from app.status import views  # noqa: F401 - they register themselves

    app.register_blueprint(bp)
