"""Content of every kind of email and text message, and the data it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def init_app(app: Flask) -> None:
    """Register the renderers, and the task that notifies users of new devices."""
    from app.notifications import challenge_emails, notices
    from app.outbox import register_periodic_task

    challenge_emails.register(app)
    register_periodic_task(app, notices.notify_of_new_devices)
