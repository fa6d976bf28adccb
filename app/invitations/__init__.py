"""Invitations: links that give people an account, groups, or both.

Guarantees that an invitation is not accepted more often than it allows, and that opening its link doesn't use it up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def init_app(app: Flask) -> None:
    """Register the cleanup job and the data export."""
    from app.db.export import register_export
    from app.db.retention import register_cleanups
    from app.invitations import export, service

    register_cleanups(app, service.prune_invitations)
    register_export(app, export.PARTS)
