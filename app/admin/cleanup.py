"""Delete expired visits and links, and old statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app import clock
from app.admin.models import AdminLink, AdminVisit
from app.admin.statistics import prune_stat_hours
from app.db.retention import delete_batch, register_cleanups
from app.extensions import db, settings

if TYPE_CHECKING:
    from flask import Flask


def init_app(app: Flask) -> None:
    """Register the cleanups that the worker runs."""
    register_cleanups(app, prune_visits, prune_links, prune_stat_hours)


def prune_visits() -> int:
    """Delete a batch of visits older than ``LATCHKEY_ADMIN_ABSOLUTE``; return how many."""
    return delete_batch(db.session, AdminVisit, AdminVisit.opened_at < clock.now() - settings.admin_absolute)


def prune_links() -> int:
    """Delete a batch of expired links; return how many."""
    return delete_batch(db.session, AdminLink, AdminLink.expires_at < clock.now())
