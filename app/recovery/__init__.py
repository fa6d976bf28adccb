"""Recovery that can be contested: for who has lost every way in but the mailbox.

Promises that every channel of the account is told, that nothing happens before the wait is over, that one click ends
it, and that of cancelling and completing one wins.
"""

from flask import Blueprint

bp = Blueprint("recovery", __name__)


def init_app(app) -> None:  # type: ignore[no-untyped-def]
    """Serve this journey's addresses, and let every account page know of a recovery that is open."""
    from app.recovery import views  # noqa: F401 - they register themselves
    from app.recovery.presenters import open_recovery

    app.register_blueprint(bp)
    app.jinja_env.globals["open_recovery"] = open_recovery
