"""Challenges of several methods, in one statement whose text never changes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import sqlalchemy as sa

from app.challenges.models import Challenge
from app.enrollments.catalog import METHODS

_NAMES = [f"method_{number}" for number in range(sum(method.sends != "" for method in METHODS.values()))]
"""A parameter for each method that sends something."""

IS_ONE_OF_THE_METHODS = Challenge.__table__.c.method.in_([sa.bindparam(name) for name in _NAMES])


def methods_meant(methods: Sequence[str]) -> dict[str, str]:
    """Return the parameters that mean ``methods``, at least one; the last is named again where there are fewer."""
    return dict(zip_longest(_NAMES, methods, fillvalue=methods[-1]))
