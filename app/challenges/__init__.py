"""Passcodes and magic links: issued, counted, verified and spent.

Promises that an answer is good once, only for its own purpose and method, and only in the browser that asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def init_app(app: Flask) -> None:
    """Register what the worker deletes."""
    from app.challenges import cleanup
    from app.db.retention import register_cleanups

    register_cleanups(app, cleanup.prune_challenges, cleanup.prune_stored_responses)
