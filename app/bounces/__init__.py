"""Incoming bounces and complaints: signed webhooks of mail providers, and reports returned by mail servers.

Guarantees that only authenticated reports are accepted, that a report counts once however often it is delivered, and
that only a digest of the address, the kind and the code of a report are stored.
"""

from __future__ import annotations

from flask import Blueprint, Flask

bp = Blueprint("bounces", __name__)


def init_app(app: Flask) -> None:
    """Register this feature's URLs, jobs, periodic tasks and cleanups."""
    from app.bounces import mailgun, ses, verified_addresses, views
    from app.db.retention import register_cleanups
    from app.outbox import register_periodic_task, register_prompt_job

    views.init_app(app)
    register_prompt_job(app, ses.fetch_due)
    register_periodic_task(app, verified_addresses.lift_suppressions)
    register_cleanups(app, ses.prune_documents, mailgun.prune_tokens)
    app.register_blueprint(bp)
