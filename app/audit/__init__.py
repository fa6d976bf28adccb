"""The audit log: Event rows, written in the same transaction as what they describe.

Guarantees that an event never holds a passcode, token, link or secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.audit.models import Event
from app.audit.recorder import record, record_each, set_listener

if TYPE_CHECKING:
    from flask import Flask

__all__ = ["Event", "record", "record_each", "set_listener"]


def init_app(app: Flask) -> None:
    """Register the cleanup and the data export part."""
    from app.audit import export, recorder
    from app.db.export import register_export
    from app.db.retention import register_cleanups

    register_cleanups(app, recorder.prune_events)
    register_export(app, export.PARTS)
