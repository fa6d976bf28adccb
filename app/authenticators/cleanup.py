"""Forget challenges that nobody can answer and no budget counts any more."""

from __future__ import annotations

from datetime import timedelta

from app import clock
from app.authenticators.models import WebauthnChallenge
from app.authenticators.webauthn import challenges as webauthn_challenges
from app.challenges import idempotency
from app.challenges.models import Challenge, StoredResponse
from app.db.retention import cleanup, delete_batch
from app.extensions import db
from app.throttling.models import SendWindow

COUNTED_FOR = timedelta(days=1)
"""The longest window of a send budget; a challenge counts for that long."""


@cleanup
def prune_challenges() -> int:
    """Delete a batch of challenges that ended more than a day ago; return how many."""
    return delete_batch(db.session, Challenge, Challenge.expires_at < clock.now() - COUNTED_FOR)


@cleanup
def prune_ceremonies() -> int:
    """Delete a batch of passkeys' challenges that can be answered no more; return how many."""
    return delete_batch(
        db.session, WebauthnChallenge, WebauthnChallenge.expires_at < clock.now() - webauthn_challenges.LIFE
    )


@cleanup
def prune_repeats() -> int:
    """Delete a batch of requests that count as repeated no more; return how many."""
    return delete_batch(db.session, StoredResponse, StoredResponse.created_at < clock.now() - idempotency.KEPT_FOR)


@cleanup
def prune_windows() -> int:
    """Delete a batch of windows of the send budget that are long over; return how many."""
    return delete_batch(db.session, SendWindow, SendWindow.began_at < clock.now() - 2 * COUNTED_FOR)
