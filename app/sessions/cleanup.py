"""Delete ended sessions and tokens, and known devices and counters that are no longer needed."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from app import clock
from app.db.retention import delete_batch
from app.extensions import db, settings
from app.sessions import api_tokens
from app.sessions.known_devices import LIFE
from app.sessions.models import ApiToken, AuthSession, PendingSignIn, RefreshToken
from app.throttling.models import FailureCounter

KEPT_FOR = timedelta(days=1)
NOBODYS = timedelta(days=30)


def prune_sessions() -> int:
    """Delete a batch of sessions that ended more than a day ago; return how many."""
    return delete_batch(db.session, AuthSession, AuthSession.expires_at < clock.now() - KEPT_FOR)


def prune_pending() -> int:
    """Delete a batch of sign-ins whose second step was due more than a day ago; return how many."""
    return delete_batch(db.session, PendingSignIn, PendingSignIn.expires_at < clock.now() - KEPT_FOR)


def prune_personal_tokens() -> int:
    """Delete a batch of personal tokens that ended before anybody would look for them; return how many."""
    return delete_batch(db.session, ApiToken, ApiToken.expires_at < clock.now() - api_tokens.KEPT_FOR)


def prune_refresh_tokens() -> int:
    """Delete a batch of refresh tokens whose time is up; return how many."""
    return delete_batch(db.session, RefreshToken, RefreshToken.expires_at < clock.now() - KEPT_FOR)


def prune_unused_refresh_tokens() -> int:
    """Delete a batch of refresh tokens that were not exchanged for too long; return how many."""
    return delete_batch(db.session, RefreshToken, RefreshToken.used_at < clock.now() - settings.refresh_idle - KEPT_FOR)


def prune_standings() -> int:
    """Delete a batch of failures that are past every window, with none in a row; return how many."""
    unknown = sa.and_(FailureCounter.first_seen_at.is_(None), FailureCounter.in_a_row == sa.literal_column("0"))
    return delete_batch(
        db.session, FailureCounter, sa.and_(unknown, FailureCounter.touched_at < clock.now() - KEPT_FOR)
    )


def prune_nobodys_standings() -> int:
    """Delete a batch of failures of identities that nobody has, after a month; return how many."""
    nobodys = FailureCounter.user_id.is_(None)
    return delete_batch(db.session, FailureCounter, sa.and_(nobodys, FailureCounter.touched_at < clock.now() - NOBODYS))


def prune_old_standings() -> int:
    """Delete a batch of known browsers, and of failures in a row, that were not touched for a year; return how many."""
    return delete_batch(db.session, FailureCounter, FailureCounter.touched_at < clock.now() - LIFE)
