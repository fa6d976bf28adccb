"""Delete challenges that have expired and no longer count toward a send limit, and old idempotency keys."""

from __future__ import annotations

import sqlalchemy as sa

from app import clock
from app.challenges import idempotency
from app.challenges.models import FOR_CLEANUP, Challenge, StoredResponse
from app.db.retention import delete_batch
from app.extensions import db
from app.throttling.cleanup import COUNTED_FOR


def prune_challenges() -> int:
    """Delete a batch of challenges that ended more than a day ago; return how many."""
    ended = sa.and_(Challenge.expires_at < clock.now() - COUNTED_FOR, sa.literal_column(FOR_CLEANUP))
    return delete_batch(db.session, Challenge, ended)


def prune_stored_responses() -> int:
    """Delete a batch of expired idempotency keys; return how many."""
    return delete_batch(db.session, StoredResponse, StoredResponse.created_at < clock.now() - idempotency.KEPT_FOR)
