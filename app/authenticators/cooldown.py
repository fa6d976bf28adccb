"""The cooldown of a new factor: one added with a weaker proof counts as weak for a day.

An intruder who only has the owner's mailbox may have added it. For ``LATCHKEY_NEW_METHOD_WAIT`` it is worth no more
than a mailed code: it can't remove or replace the older methods, stand in for them, or ask more of the owner than they
do. Every address and phone of the account is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app import clock
from app.authenticators.assurance import assurance_levels_of
from app.authenticators.models import Passkey
from app.enrollments.models import Enrollment
from app.extensions import db, settings
from app.sessions.models import AuthSession


def ends_at(session: AuthSession, enrolled: Sequence[Enrollment]) -> datetime | None:
    """Return until when a method that ``session`` adds now counts as weak; None when it counts at once.

    It waits when the session's last proof is worth less than the strongest that its owner can give, whatever
    ``LATCHKEY_FRESHNESS_STRENGTH`` asks for.
    :param enrolled: what the owner has set up, before the new method takes the place of an earlier one
    """
    if not settings.new_method_wait:
        return None
    if assurance_levels_of(enrolled, always=True).satisfied_by(session.proved_amr or ""):
        return None
    return clock.now() + settings.new_method_wait


@dataclass(frozen=True, slots=True)
class NewMethod:
    """A method in its cooldown.

    :ivar until: when the cooldown ends
    """

    name: str
    added_at: datetime
    until: datetime


def new_methods(user_id: int) -> list[NewMethod]:
    """Return the methods of a user that are in their cooldown, each passkey for itself, the newest first.

    One statement. The row that stands for all passkeys says nothing of one that was added beside another.
    """
    now = clock.now()
    enrolled, passkey = Enrollment.__table__.c, Passkey.__table__.c
    both = sa.union_all(
        sa.select(enrolled.method, enrolled.created_at, enrolled.weak_until).where(
            enrolled.user_id == user_id, enrolled.method != Passkey.method, enrolled.weak_until > now
        ),
        sa.select(sa.literal(Passkey.method), passkey.created_at, passkey.weak_until).where(
            passkey.user_id == user_id, passkey.weak_until > now
        ),
    )
    found = [NewMethod(*row) for row in db.session.execute(both)]
    return sorted(found, key=lambda each: each.added_at, reverse=True)
