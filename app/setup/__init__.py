"""Set up and remove sign-in methods.

Promises that nothing is stored before it is proved, and that the last way in stays.
"""

from flask import Blueprint, Flask

bp = Blueprint("setup", __name__)


def init_app(app: Flask) -> None:
    """Register this feature's URLs, and let every account page know of methods in their cooldown."""
    from app.setup import (  # noqa: F401 - they register themselves
        passkey_views,
        recovery_code_views,
        second_factor_views,
        views,
    )
    from app.setup.presenters import new_methods_shown

    app.register_blueprint(bp)
    app.jinja_env.globals["new_methods"] = new_methods_shown
