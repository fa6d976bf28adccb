"""The outbox: messages are enqueued in the transaction that causes them, and sent by a worker after the commit.

Guarantees that no message is sent for work that was rolled back, that none is lost for work that was committed,
that short of a crash no message is sent by two workers, and that no code, link or address is readable in the queue
or the logs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.outbox.channels.mail import mail_config
from app.outbox.delivery import deliver
from app.outbox.jobs import register_deliverer, register_job, register_periodic_task, register_prompt_job
from app.outbox.models import Message
from app.outbox.renderers import EmailMessage, Expired, LogoutMessage, TextMessage, register_renderers
from app.outbox.service import enqueue, enqueue_each

if TYPE_CHECKING:
    from flask import Flask

__all__ = [
    "EmailMessage",
    "Expired",
    "LogoutMessage",
    "Message",
    "TextMessage",
    "deliver",
    "enqueue",
    "enqueue_each",
    "mail_config",
    "register_deliverer",
    "register_job",
    "register_periodic_task",
    "register_prompt_job",
    "register_renderers",
]


def init_app(app: Flask) -> None:
    """Configure Flask-Mail, and register commands, template filter, data export parts, periodic task and cleanups."""
    from app.commands import add_command, from_modules
    from app.db.export import register_export
    from app.db.retention import register_cleanups
    from app.extensions import mail
    from app.outbox import export, providers, reasons, suppressions

    app.config.update(mail_config(app.extensions["latchkey.settings"]))
    mail.init_app(app)
    app.jinja_env.filters["reason_html"] = reasons.reason_html
    add_command(app, "outbox", from_modules("outbox", "app.outbox.cli"))
    add_command(app, "worker", from_modules("run_worker", "app.outbox.cli"))
    register_export(app, export.PARTS)
    register_periodic_task(app, providers.save_health)
    register_cleanups(app, suppressions.prune_suppressions, suppressions.prune_bounces)
