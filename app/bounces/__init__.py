"""Bounces and complaints come in: signed webhooks of mail providers, and reports that mail servers send back.

Promises that nothing is taken that isn't signed as its provider signs it, that the same report counts once however
often it comes, and that of a report nothing is kept but a digest of the address, its kind and its code.
"""

from __future__ import annotations

from flask import Blueprint, Flask

bp = Blueprint("bounces", __name__)


def init_app(app: Flask) -> None:
    """Register this feature's URLs, commands and what the worker does for it."""
    from app.bounces import mailgun, proofs, sns_documents, views
    from app.db.retention import register_cleanups
    from app.outbox import register_periodic_task, register_prompt_job

    views.init_app(app)
    register_prompt_job(app, sns_documents.fetch_due)
    register_periodic_task(app, proofs.lift_proved)
    register_cleanups(app, sns_documents.prune_documents, mailgun.prune_tokens)
    app.register_blueprint(bp)
