"""Delete visits and links that are over, and old counts."""

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
    """Have the worker delete what is over."""
    register_cleanups(app, prune_visits, prune_links, prune_stat_hours)


def prune_visits() -> int:
    """Delete a batch of visits that ended by their age; return how many."""
    return delete_batch(db.session, AdminVisit, AdminVisit.opened_at < clock.now() - settings.admin_absolute)


def prune_links() -> int:
    """Delete a batch of links that have expired; return how many."""
    return delete_batch(db.session, AdminLink, AdminLink.expires_at < clock.now())
