"""Cleanup job: delete invitations that can no longer be accepted, along with the record of who did."""

from __future__ import annotations

from datetime import timedelta

from app import clock
from app.db.retention import delete_batch
from app.extensions import db
from app.invitations.models import Invitation

RETENTION = timedelta(days=30)
"""How long an administrator can still see what became of an expired invitation."""


def prune_invitations() -> int:
    """Delete a batch of invitations that expired long ago; return how many."""
    return delete_batch(db.session, Invitation, Invitation.expires_at < clock.now() - RETENTION)
