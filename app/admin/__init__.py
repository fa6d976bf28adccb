"""The administrators' console at /admin: HTML pages and a JSON API (the admin API).

Guarantees that every page requires a recent proof as strong as the administrator's strongest method, that every change
is recorded as an event naming who made it and which account it affected, and that no page reveals a secret, a code or a
link.
"""

from __future__ import annotations

from flask import Blueprint, Flask

bp = Blueprint("admin", __name__, url_prefix="/admin")


def init_app(app: Flask) -> None:
    """Register the console's URLs, its cleanups and periodic task, and what it leaves out of exports."""
    from app.admin import (  # noqa: F401
        access,
        app_views,
        audit_views,
        cleanup,
        first_views,
        group_views,
        invitation_views,
        outbox_views,
        overview_views,
        people_views,
        person_views,
        settings_views,
        webhook_views,
    )
    from app.admin.export import EXCLUDED
    from app.admin.presenters import CONSOLE_PAGES
    from app.admin.statistics import keep_counting
    from app.db.export import register_export
    from app.outbox import register_periodic_task

    access.init_app(app)
    cleanup.init_app(app)
    register_export(app, (), EXCLUDED)
    register_periodic_task(app, keep_counting)
    app.jinja_env.globals["console_pages"] = CONSOLE_PAGES
    app.register_blueprint(bp)
