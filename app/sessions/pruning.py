"""Forget sessions and tokens that have ended, browsers that were unused for a year, and failures that count no more."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from app.database.pruning import delete_batch, pruner
from app.extensions import db, settings
from app.kit import clock
from app.sessions import personal
from app.sessions.known import LIFE
from app.sessions.models import AuthSession, PendingSignIn, PersonalToken, RefreshToken, Standing

KEPT_FOR = timedelta(days=1)
NOBODYS = timedelta(days=30)


@pruner
def prune_sessions() -> int:
    """Delete a batch of sessions that ended more than a day ago; return how many."""
    return delete_batch(db.session, AuthSession, AuthSession.expires_at < clock.now() - KEPT_FOR)


@pruner
def prune_pending() -> int:
    """Delete a batch of sign-ins whose second step was due more than a day ago; return how many."""
    return delete_batch(db.session, PendingSignIn, PendingSignIn.expires_at < clock.now() - KEPT_FOR)


@pruner
def prune_personal_tokens() -> int:
    """Delete a batch of personal tokens that ended before anybody would look for them; return how many."""
    return delete_batch(db.session, PersonalToken, PersonalToken.expires_at < clock.now() - personal.KEPT_FOR)


@pruner
def prune_refresh_tokens() -> int:
    """Delete a batch of refresh tokens whose time is up; return how many."""
    return delete_batch(db.session, RefreshToken, RefreshToken.expires_at < clock.now() - KEPT_FOR)


@pruner
def prune_unused_refresh_tokens() -> int:
    """Delete a batch of refresh tokens that were not exchanged for too long; return how many."""
    return delete_batch(db.session, RefreshToken, RefreshToken.used_at < clock.now() - settings.refresh_idle - KEPT_FOR)


@pruner
def prune_standings() -> int:
    """Delete a batch of failures that are past every window, with none in a row; return how many."""
    unknown = sa.and_(Standing.first_seen_at.is_(None), Standing.in_a_row == sa.literal_column("0"))
    return delete_batch(db.session, Standing, sa.and_(unknown, Standing.touched_at < clock.now() - KEPT_FOR))


@pruner
def prune_nobodys_standings() -> int:
    """Delete a batch of failures of identities that nobody has, after a month; return how many."""
    nobodys = Standing.user_id.is_(None)
    return delete_batch(db.session, Standing, sa.and_(nobodys, Standing.touched_at < clock.now() - NOBODYS))


@pruner
def prune_old_standings() -> int:
    """Delete a batch of known browsers, and of failures in a row, that were not touched for a year; return how many."""
    return delete_batch(db.session, Standing, Standing.touched_at < clock.now() - LIFE)
