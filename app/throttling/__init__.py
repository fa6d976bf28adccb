"""Limits: by network address, by account, by destination, and for the whole service.

Promises that an address we cannot read shares one strict budget, and that a limit never fails open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.throttling.by_ip import allow, bucket_of, is_news, penalize, stop, take

if TYPE_CHECKING:
    from flask import Flask

__all__ = ["allow", "bucket_of", "is_news", "penalize", "stop", "take"]


def init_app(app: Flask) -> None:
    """Register what the worker deletes."""
    from app.db.retention import register_cleanups
    from app.throttling import cleanup

    register_cleanups(app, cleanup.prune_penalties, cleanup.prune_send_windows)
