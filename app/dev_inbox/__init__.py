"""The development inbox: every email and text message sent, shown in the browser.

Only served in development, since anyone who can open it can read every passcode.
"""

from __future__ import annotations

from flask import Blueprint, Flask

bp = Blueprint("dev_inbox", __name__, url_prefix="/dev/inbox")


def init_app(app: Flask) -> None:
    """Serve the mailbox at ``/dev/inbox``.

    :raises RuntimeError: in production
    """
    from app.dev_inbox import views  # noqa: F401 - its functions register themselves

    settings = app.extensions["latchkey.settings"]
    if settings.is_production:
        raise RuntimeError("the development mailbox must not be served in production")
    app.register_blueprint(bp)
    if not settings.mail_url:
        app.jinja_env.globals["dev_inbox"] = True  # pages that ask for a code link to it
