"""Forward auth: apps that know nothing of sign-in, behind a proxy that asks us about each of their requests.

Promises that a host we don't know is refused, that a header is believed from a listed proxy alone, and that an app is
closed from the moment its person's session ends.
"""

from __future__ import annotations

from flask import Blueprint, Flask

bp = Blueprint("forward_auth", __name__)


def init_app(app: Flask) -> None:
    """Register this feature's URLs."""
    from app.db.export import register_export
    from app.forward_auth import app_file, check_views, cleanup, entry_views, export, presenters
    from app.web.destinations import register_destination, register_launcher
    from app.web.headers import answer_other_hosts

    app_file.init_app(app)
    for address in check_views.ADDRESSES:
        answer_other_hosts(app, address, lambda _host: True)
    answer_other_hosts(app, entry_views.PLACE, app_file.is_host)
    check_views.init_app(app)
    register_destination(app, entry_views.CONTINUE, presenters.destination_of_request)
    register_launcher(app, presenters.apps_of)
    register_export(app, export.PARTS, export.EXCLUDED)
    cleanup.init_app(app)
    app.register_blueprint(bp)
