"""Account recovery by mailbox alone, after a wait in which it can be contested.

Guarantees that every channel of the account is notified, that nothing changes before the wait is over, that one click
cancels it, and that canceling and completing can't both succeed.
"""

from flask import Blueprint, Flask

bp = Blueprint("recovery", __name__)


def init_app(app: Flask) -> None:
    """Register this feature's URLs, and show an open recovery on every account page."""
    from app.challenges.notice_links import register_report_hook
    from app.db.export import register_export
    from app.db.retention import register_cleanups
    from app.outbox import register_periodic_task, register_renderers
    from app.recovery import emails, export, requests, service, views
    from app.users.accounts import register_deletion_hook

    app.register_blueprint(bp)
    register_report_hook(app, service.cancel_on_report)
    register_deletion_hook(app, service.cancel_with_account)
    register_periodic_task(app, emails.remind)
    register_cleanups(app, requests.prune_recoveries)
    register_export(app, export.PARTS)
    register_renderers(app, {"recovering": emails.recovering}, reads=emails.recoveries_of)
    app.jinja_env.globals["open_recovery"] = views.open_recovery
