"""Lift suppressions of addresses that demonstrably receive mail, because a code sent there was entered."""

from __future__ import annotations

import sqlalchemy as sa

from app import clock
from app.audit import Event
from app.challenges.models import Challenge
from app.extensions import db
from app.outbox import suppressions
from app.outbox.models import Suppression

VERIFYING_EVENTS = ("sign_in.succeeded", "sign_in.step_up", "address.confirmed", "address.added")
"""Events that refer to the challenge that was answered."""

BATCH = 100

_VERIFIED = (
    sa.select(Challenge.destination, Event.at)
    .select_from(Suppression)
    .join(Event, Event.user_id == Suppression.user_id)
    .join(Challenge, Challenge.id == Event.challenge_id)
    .where(Suppression.until > sa.bindparam("now"), Suppression.user_id.is_not(None))
    .where(Event.at > Suppression.since, Event.name.in_(VERIFYING_EVENTS), Challenge.destination.contains("@"))
    .limit(BATCH)
)


def lift_suppressions() -> bool:
    """Lift suppressions of addresses verified since. A periodic task; takes one statement if there are none."""
    verified = db.session.execute(_VERIFIED, {"now": clock.now()}).all()
    suppressions.lift_verified([(address, at) for address, at in verified])
    return False
