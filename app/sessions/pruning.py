"""Forget sessions that have ended, and browsers that nobody has signed in from for a year."""

from __future__ import annotations

from datetime import timedelta

from app.database.pruning import delete_batch, pruner
from app.extensions import db
from app.kit import clock
from app.sessions.known import LIFE
from app.sessions.models import AuthSession, KnownBrowser

KEPT_FOR = timedelta(days=1)


@pruner
def prune_sessions() -> int:
    """Delete a batch of sessions that ended more than a day ago; return how many."""
    return delete_batch(db.session, AuthSession, AuthSession.expires_at < clock.now() - KEPT_FOR)


@pruner
def prune_browsers() -> int:
    """Delete a batch of known browsers that were unused for a year; return how many."""
    return delete_batch(db.session, KnownBrowser, KnownBrowser.last_seen_at < clock.now() - LIFE)
