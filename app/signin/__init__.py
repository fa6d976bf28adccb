"""Sign in, confirm it's you, and sign out.

Promises the same answer, cookies and statements whether or not an account is there.
"""

from flask import Blueprint, Flask

bp = Blueprint("signin", __name__)


def init_app(app: Flask) -> None:
    """Register this feature's URLs."""
    from app.signin import (  # noqa: F401 - they register themselves
        link_views,
        passkey_views,
        reauthentication_views,
        report_views,
        second_factor_views,
        views,
    )

    app.register_blueprint(bp)
