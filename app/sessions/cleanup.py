"""Delete ended sessions and tokens, and known devices and counters that are no longer needed."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from app import clock
from app.db.retention import delete_batch
from app.extensions import db, settings
from app.sessions import api_tokens
from app.sessions.known_devices import LIFETIME
from app.sessions.models import ApiToken, AuthSession, PendingSignIn, RefreshToken
from app.throttling.models import FailureCounter

KEPT_FOR = timedelta(days=1)
DECOYS_KEPT_FOR = timedelta(days=30)


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
    """Delete a batch of refresh tokens that were unused for too long; return how many."""
    return delete_batch(db.session, RefreshToken, RefreshToken.used_at < clock.now() - settings.refresh_idle - KEPT_FOR)


def prune_failure_counters() -> int:
    """Delete a batch of counters that no limit reads any more; return how many."""
    unknown = sa.and_(FailureCounter.first_seen_at.is_(None), FailureCounter.in_a_row == sa.literal_column("0"))
    return delete_batch(
        db.session, FailureCounter, sa.and_(unknown, FailureCounter.touched_at < clock.now() - KEPT_FOR)
    )


def prune_decoy_counters() -> int:
    """Delete a batch of counters of identities without an account, after a month; return how many."""
    nobodys = FailureCounter.user_id.is_(None)
    return delete_batch(
        db.session, FailureCounter, sa.and_(nobodys, FailureCounter.touched_at < clock.now() - DECOYS_KEPT_FOR)
    )


def prune_known_devices() -> int:
    """Delete a batch of known devices and counters that weren't used for a year; return how many."""
    return delete_batch(db.session, FailureCounter, FailureCounter.touched_at < clock.now() - LIFETIME)
