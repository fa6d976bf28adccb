"""The account pages: profile, sign-in methods, devices, activity and API tokens.

Guarantees that people see everything about their own account that matters for signing in, and nothing about others.
"""

from flask import Blueprint, Flask

bp = Blueprint("account", __name__)


def init_app(app: Flask) -> None:
    """Register this feature's URLs, and a template function that recommends the next step after a setup."""
    from app.account import api_tokens_views, devices_views, views  # noqa: F401 - they register themselves

    app.register_blueprint(bp)
    app.jinja_env.globals["next_step"] = views.next_step
