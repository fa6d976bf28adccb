"""Set up and remove sign-in methods.

Guarantees that nothing is stored before it is verified, and that the last sign-in method can't be removed.
"""

from flask import Blueprint, Flask

bp = Blueprint("setup", __name__)


def init_app(app: Flask) -> None:
    """Register this feature's URLs, and show methods in their cooldown on every account page."""
    from app.setup import (  # noqa: F401 - they register themselves
        passkey_views,
        recovery_code_views,
        second_factor_views,
        views,
    )
    from app.setup.presenters import new_methods_context

    app.register_blueprint(bp)
    app.jinja_env.globals["new_methods"] = new_methods_context
