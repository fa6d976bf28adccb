"""Sign in with whatever one holds, prove it again, and sign out.

Promises the same answer, cookies and statements whether or not an account is there.
"""

from flask import Blueprint

bp = Blueprint("signin", __name__)


def init_app(app) -> None:  # type: ignore[no-untyped-def]
    """Serve this journey's addresses."""
    from app.signin import link_views, not_me_views, passkey_views, reauth_views, second_views, views, waiting_views  # noqa: F401 - they register themselves

    app.register_blueprint(bp)
