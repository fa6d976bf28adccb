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
    """Delete a batch of refresh tokens whose time is up, or that were not exchanged for too long; return how many."""
    now = clock.now()
    unused = RefreshToken.used_at < now - settings.refresh_idle - KEPT_FOR
    return delete_batch(db.session, RefreshToken, sa.or_(RefreshToken.expires_at < now - KEPT_FOR, unused))


@pruner
def prune_standings() -> int:
    """Delete a batch of rows that hold nothing any more; return how many.

    A known browser is forgotten when it was unused for a year. Failures are when they are past every window, and
    none is in a row; those in a row wait for a success, at somebody's for a year and at nobody's for a month.
    """
    now = clock.now()
    unknown = Standing.first_seen_at.is_(None)
    past = sa.and_(unknown, Standing.in_a_row == 0, Standing.touched_at < now - KEPT_FOR)
    nobodys = sa.and_(Standing.user_id.is_(None), Standing.touched_at < now - NOBODYS)
    return delete_batch(db.session, Standing, sa.or_(past, nobodys, Standing.touched_at < now - LIFE))
