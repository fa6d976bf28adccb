"""Invitations: links by which people get an account, groups, or both.

Promises that an invitation is accepted no more often than it says, and that looking at its link spends nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def init_app(app: Flask) -> None:
    """Register what the worker deletes, and what an export holds."""
    from app.db.export import register_export
    from app.db.retention import register_cleanups
    from app.invitations import cleanup, export

    register_cleanups(app, cleanup.prune_invitations)
    register_export(app, export.PARTS)
