"""Delete invitations that nobody can accept any more, and with them who did."""

from __future__ import annotations

from datetime import timedelta

from app import clock
from app.db.retention import delete_batch
from app.extensions import db
from app.invitations.models import Invitation

KEPT_FOR = timedelta(days=30)
"""So long after it has expired an administrator can see what became of one."""


def prune_invitations() -> int:
    """Delete a batch of invitations that have long expired; return how many."""
    return delete_batch(db.session, Invitation, Invitation.expires_at < clock.now() - KEPT_FOR)
