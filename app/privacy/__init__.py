"""Personal data: export it, or delete the account.

Guarantees that an export contains all of its owner's records and no secret, and that only the owner can fetch it; that
an account is erased only after a period in which its owner can keep it, and then completely.
"""

from flask import Blueprint, Flask

bp = Blueprint("privacy", __name__)


def init_app(app: Flask) -> None:
    """Register this feature's URLs."""
    from app.db.export import register_export
    from app.db.retention import register_cleanups
    from app.notifications.notices import sendable_notices
    from app.outbox import register_job, register_periodic_task, register_renderers
    from app.privacy import deletion, emails, export, export_requests, views  # noqa: F401 - views registers itself

    app.register_blueprint(bp)
    register_job(app, export_requests.build_one)
    register_job(app, deletion.erase_one)
    register_periodic_task(app, deletion.remind)
    register_cleanups(app, export_requests.prune_archives, export_requests.prune_exports)
    register_export(app, export.PARTS)
    register_renderers(app, {"export_ready": emails.export_ready})
    about_deletion = dict.fromkeys(("deletion_requested", "deletion_reminder"), emails.deletion)
    register_renderers(app, about_deletion, reads=sendable_notices)
    register_renderers(app, {"account_closed": emails.account_closed}, reads=emails.closed_accounts_of)
