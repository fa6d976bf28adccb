"""Delete ended sessions and tokens, and known devices that are no longer used."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from app import clock
from app.db.retention import Walk, delete_batch
from app.extensions import db, settings
from app.sessions import api_tokens
from app.sessions.known_devices import LIFETIME
from app.sessions.models import ApiToken, AuthSession, KnownDevice, PendingSignIn, RefreshToken
from app.throttling.cleanup import is_unneeded

KEPT_FOR = timedelta(days=1)

_DEVICES = Walk(KnownDevice)


def prune_sessions() -> int:
    """Delete a batch of sessions that ended more than a day ago; return how many."""
    return delete_batch(db.session, AuthSession, AuthSession.expires_at < clock.now() - KEPT_FOR)


def prune_pending_sign_ins() -> int:
    """Delete a batch of pending sign-ins that expired more than a day ago; return how many."""
    return delete_batch(db.session, PendingSignIn, PendingSignIn.expires_at < clock.now() - KEPT_FOR)


def prune_api_tokens() -> int:
    """Delete a batch of API tokens that are no longer listed; return how many."""
    return delete_batch(db.session, ApiToken, ApiToken.expires_at < clock.now() - api_tokens.KEPT_FOR)


def prune_refresh_tokens() -> int:
    """Delete a batch of expired refresh tokens; return how many."""
    return delete_batch(db.session, RefreshToken, RefreshToken.expires_at < clock.now() - KEPT_FOR)


def prune_unused_refresh_tokens() -> int:
    """Delete a batch of refresh tokens that were idle for too long; return how many."""
    return delete_batch(db.session, RefreshToken, RefreshToken.used_at < clock.now() - settings.refresh_idle - KEPT_FOR)


def prune_known_devices() -> int:
    """Delete a batch of known devices unused for a year, and of unneeded failure counters; return how many."""
    now = clock.now()
    return _DEVICES.delete_batch(db.session, sa.or_(is_unneeded(now), KnownDevice.touched_at < now - LIFETIME))
