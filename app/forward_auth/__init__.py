"""Forward auth: apps without a sign-in of their own, behind a proxy that asks us about each of their requests.

Guarantees that unknown hosts are refused, that headers are only trusted from a listed proxy, and that access to an app
ends as soon as the user's session ends.
"""

from __future__ import annotations

from flask import Blueprint, Flask

bp = Blueprint("forward_auth", __name__)


def init_app(app: Flask) -> None:
    """Register this package's URLs, hooks and cleanups."""
    from app.db.export import register_export
    from app.db.retention import register_cleanups
    from app.forward_auth import app_file, app_sessions, check_views, entry_views, export, presenters
    from app.web.destinations import register_destination, register_launcher
    from app.web.headers import serve_other_hosts

    app_file.init_app(app)
    for address in check_views.PATHS:
        serve_other_hosts(app, address, lambda _host: True)
    serve_other_hosts(app, entry_views.PREFIX, app_file.is_host)
    check_views.init_app(app)
    register_destination(app, entry_views.CONTINUE, presenters.destination_of_request)
    register_launcher(app, presenters.apps_of)
    register_export(app, export.PARTS, export.EXCLUDED)
    register_cleanups(app, app_sessions.prune_app_sessions, app_sessions.prune_entry_tickets)
    app.register_blueprint(bp)
