"""Statements on several challenges: filter by methods, and end challenges when an account changes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import sqlalchemy as sa

from app import clock
from app.challenges.models import Challenge
from app.enrollments.catalog import MAX_SENDING
from app.extensions import changed
from app.throttling.by_destination import SETUP_PURPOSES

CHANGING = (*SETUP_PURPOSES, "change_email", "add_email")
"""Purposes of challenges that change an account."""

_NAMES = [f"method_{number}" for number in range(MAX_SENDING)]
"""One bind parameter for each method that sends codes."""

METHOD_MATCHES = Challenge.__table__.c.method.in_([sa.bindparam(name) for name in _NAMES])
"""The same SQL for any number of methods, so the statement is compiled only once (ADR 16)."""


def method_params(methods: Sequence[str]) -> dict[str, str]:
    """Return the parameters for ``methods``, which must not be empty. Repeats the last one to fill them all."""
    return dict(zip_longest(_NAMES, methods, fillvalue=methods[-1]))


def end_others(user_id: int, purpose: str, destination: str) -> None:
    """End the user's open challenges for ``purpose`` that were sent to another destination."""
    mine = (Challenge.user_id == user_id, Challenge.purpose == purpose, Challenge.destination != destination)
    changed(sa.update(Challenge).where(*mine, Challenge.spent_at.is_(None)).values(spent_at=clock.now()))


def end_changes(user_id: int, *, except_id: str) -> None:
    """End the setups and changes that the user's sessions have started.

    :param except_id: id of a session whose challenges stay open
    """
    theirs = sa.or_(Challenge.session_id.is_(None), Challenge.session_id != except_id)
    begun = (Challenge.user_id == user_id, Challenge.purpose.in_(CHANGING), theirs, Challenge.spent_at.is_(None))
    changed(sa.update(Challenge).where(*begun).values(spent_at=clock.now()))
