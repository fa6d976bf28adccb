"""Sign in, confirm it's you, and sign out.

Guarantees the same responses, cookies and statements whether or not an account exists.
"""

from flask import Blueprint, Flask

bp = Blueprint("signin", __name__)


def init_app(app: Flask) -> None:
    """Register this feature's URLs, email, cleanups, deletion hook and export."""
    from app.db.export import register_export
    from app.db.retention import register_cleanups
    from app.outbox import register_renderers
    from app.signin import (  # noqa: F401 - they register themselves
        export,
        link_views,
        passkey_views,
        reauthentication_views,
        second_factor_views,
        sent_links,
        views,
    )
    from app.users.accounts import register_deletion_hook

    register_cleanups(app, sent_links.prune_sent_links)
    register_deletion_hook(app, sent_links.end_all)
    register_renderers(app, sent_links.RENDERERS, reads=sent_links.links_of)
    register_export(app, export.PARTS)
    app.register_blueprint(bp)
