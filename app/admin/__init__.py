"""The administrators' console at /admin: HTML pages and a JSON API (the admin API).

Guarantees that every page requires a recent verification as strong as the administrator's strongest method, that every
change is recorded as an event naming who made it and which account it affected, and that no page reveals a secret, a
code or a link.
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
        first_administrator_views,
        group_views,
        invitation_views,
        outbox_views,
        overview_views,
        people_views,
        person_views,
        settings_views,
        webhook_views,
    )
    from app.admin.presenters import CONSOLE_PAGES
    from app.admin.statistics import keep_counting, prune_stat_hours
    from app.db.export import register_export
    from app.db.retention import register_cleanups
    from app.outbox import register_periodic_task

    access.init_app(app)
    register_cleanups(app, access.prune_visits, access.prune_links, prune_stat_hours)
    register_export(
        app,
        (),
        {"admin_visit": "That a session is in the console: a row of half a day, whose opening is among the events."},
    )
    register_periodic_task(app, keep_counting)
    app.jinja_env.globals["console_pages"] = CONSOLE_PAGES
    app.register_blueprint(bp)
