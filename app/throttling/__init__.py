"""Rate limits: by network address, by account, by destination, and for the whole service.

Guarantees that clients whose address can't be parsed share one strict budget, and that limits never fail open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.throttling.by_ip import bucket_of, check, first_in_window, penalize, reject_penalized, take, take_of_account

if TYPE_CHECKING:
    from flask import Flask

__all__ = ["bucket_of", "check", "first_in_window", "penalize", "reject_penalized", "take", "take_of_account"]


def init_app(app: Flask) -> None:
    """Register the cleanups."""
    from app.db.retention import register_cleanups
    from app.throttling import cleanup

    register_cleanups(app, cleanup.prune_penalties, cleanup.prune_send_windows)
