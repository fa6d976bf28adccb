"""A new request ends the ones like it that went elsewhere."""

from __future__ import annotations

import sqlalchemy as sa

from app.extensions import changed
from app.kit import clock
from app.methods.models import Challenge


def end_others(user_id: int, purpose: str, destination: str) -> None:
    """End the user's open challenges for ``purpose`` that went anywhere else than to ``destination``."""
    mine = (Challenge.user_id == user_id, Challenge.purpose == purpose, Challenge.destination != destination)
    changed(sa.update(Challenge).where(*mine, Challenge.spent_at.is_(None)).values(spent_at=clock.now()))
