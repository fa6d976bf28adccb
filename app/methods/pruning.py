"""Forget challenges that nobody can answer and no budget counts any more."""

from __future__ import annotations

from datetime import timedelta

from app.database.pruning import delete_batch, pruner
from app.extensions import db
from app.kit import clock
from app.methods import ceremonies, repeats
from app.methods.models import Ceremony, Challenge, Repeat, SendWindow

COUNTED_FOR = timedelta(days=1)
"""The longest window of a send budget; a challenge counts for that long."""


@pruner
def prune_challenges() -> int:
    """Delete a batch of challenges that ended more than a day ago; return how many."""
    return delete_batch(db.session, Challenge, Challenge.expires_at < clock.now() - COUNTED_FOR)


@pruner
def prune_ceremonies() -> int:
    """Delete a batch of passkeys' challenges that can be answered no more; return how many."""
    return delete_batch(db.session, Ceremony, Ceremony.expires_at < clock.now() - ceremonies.LIFE)


@pruner
def prune_repeats() -> int:
    """Delete a batch of requests that count as repeated no more; return how many."""
    return delete_batch(db.session, Repeat, Repeat.created_at < clock.now() - repeats.KEPT_FOR)


@pruner
def prune_windows() -> int:
    """Delete a batch of windows of the send budget that are long over; return how many."""
    return delete_batch(db.session, SendWindow, SendWindow.began_at < clock.now() - 2 * COUNTED_FOR)
