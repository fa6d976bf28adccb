"""Every email and text message by name: what it says, and the facts it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def init_app(app: Flask) -> None:
    """Register what messages say, and who is notified of new devices."""
    from app.notifications import challenge_emails, new_device
    from app.outbox import register_periodic_task

    challenge_emails.register(app)
    register_periodic_task(app, new_device.notify_of_new_devices)
