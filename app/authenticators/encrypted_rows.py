"""Which columns are encrypted at rest, for what context, and under which keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from app.challenges.models import Challenge
from app.challenges.passcodes import challenge_context, enrolled_context
from app.enrollments.models import IS_SEALED, SEALED_UNDER, Enrollment
from app.extensions import db

SEALED: tuple[tuple[Any, Callable[[Any], tuple[str, ...]]], ...] = (
    (Enrollment, enrolled_context),
    (Challenge, challenge_context),
)
"""Every table with a sealed ``secret``, and what that is sealed to."""


_KEYS_IN_USE = """
    WITH RECURSIVE used (kid) AS (
        SELECT min({key}) FROM {table} WHERE {sealed}
        UNION ALL
        SELECT (SELECT min({key}) FROM {table} WHERE {sealed} AND {key} > used.kid) FROM used WHERE used.kid IS NOT NULL
    )
    SELECT kid FROM used WHERE kid IS NOT NULL
"""
"""From one key to the next by the index: as many steps as there are keys, however many rows."""


def keys_in_use() -> set[str]:
    """Return the ids of all keys under which something is sealed, those that are not in the ring included."""
    found: set[str] = set()
    for model, _context in SEALED:
        values = {"key": SEALED_UNDER, "table": model.__tablename__, "sealed": IS_SEALED}
        found.update(db.session.scalars(sa.text(_KEYS_IN_USE.format_map(values))))
    return found


def sealed_rows() -> Counter[str]:
    """Return how many rows are sealed under each key, by its id, keys that are not in the ring included.

    Reads every row: for an operator who asks, not for a start.
    """
    counts: Counter[str] = Counter()
    for model, _context in SEALED:
        kid = sa.func.substr(model.secret, 4, 8)
        for found, count in db.session.execute(sa.select(kid, sa.func.count()).where(model.secret != "").group_by(kid)):
            counts[found] += count
    return counts
