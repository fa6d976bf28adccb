"""Passcodes and magic links: issue them, count attempts, verify and spend them.

Guarantees that each works once, only for its purpose and method, and only in the browser that requested it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def init_app(app: Flask) -> None:
    """Register the cleanups that the worker runs."""
    from app.challenges import idempotency, service
    from app.db.retention import register_cleanups

    register_cleanups(app, service.prune_challenges, idempotency.prune_stored_responses)
