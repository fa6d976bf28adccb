"""Cleanup jobs: delete expired sessions and tickets of protected apps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app import clock
from app.db.retention import delete_batch, register_cleanups
from app.extensions import db
from app.forward_auth.models import AppSession, EntryTicket

if TYPE_CHECKING:
    from flask import Flask


def init_app(app: Flask) -> None:
    """Register the worker's cleanup jobs."""
    register_cleanups(app, prune_app_sessions, prune_entry_tickets)


def prune_app_sessions() -> int:
    """Delete a batch of expired sessions at apps; return how many."""
    return delete_batch(db.session, AppSession, AppSession.expires_at < clock.now())


def prune_entry_tickets() -> int:
    """Delete a batch of expired tickets that were never used; return how many."""
    return delete_batch(db.session, EntryTicket, EntryTicket.expires_at < clock.now())
