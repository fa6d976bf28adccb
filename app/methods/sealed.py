"""What is sealed at rest, to what, and under which keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from app.extensions import db
from app.methods.codes import challenge_context, enrolled_context
from app.methods.models import Challenge, EnrolledMethod

SEALED: tuple[tuple[Any, Callable[[Any], tuple[str, ...]]], ...] = (
    (EnrolledMethod, enrolled_context),
    (Challenge, challenge_context),
)
"""Every table with a sealed ``secret``, and what that is sealed to."""


def sealed_rows() -> Counter[str]:
    """Return how many rows are sealed under each key, by its id, keys that are not in the ring included."""
    counts: Counter[str] = Counter()
    for model, _context in SEALED:
        kid = sa.func.substr(model.secret, 4, 8)
        for found, count in db.session.execute(sa.select(kid, sa.func.count()).where(model.secret != "").group_by(kid)):
            counts[found] += count
    return counts
