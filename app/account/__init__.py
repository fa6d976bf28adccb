"""The account pages: profile, sign-in methods, devices, activity and API tokens.

Promises to show a person everything about their account that matters for signing in, and nothing of another's.
"""

from flask import Blueprint, Flask

bp = Blueprint("account", __name__)


def init_app(app: Flask) -> None:
    """Register this feature's URLs, and let a page say what to do once something was set up."""
    from app.account import api_tokens_views, devices_views, views  # noqa: F401 - they register themselves

    app.register_blueprint(bp)
    app.jinja_env.globals["next_step"] = views.next_step
