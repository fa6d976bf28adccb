"""The cooldown of a new sign-in method: added with less proof than its owner can give, it counts as weak for a day.

An intruder who only has the owner's mailbox may have added it. For ``LATCHKEY_NEW_METHOD_WAIT`` it is worth no more
than a mailed code: it can't remove or replace the older methods, stand in for them, or ask more of the owner than they
do. Every address and phone of the account is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from app.extensions import settings
from app.kit import clock
from app.methods.models import EnrolledMethod
from app.methods.strength import strengths_of
from app.sessions.models import AuthSession


def ends_at(session: AuthSession, enrolled: Sequence[EnrolledMethod]) -> datetime | None:
    """Return until when a method that ``session`` adds now counts as weak; None when it counts at once.

    It waits when the session's last proof is worth less than the strongest that its owner can give, whatever
    ``LATCHKEY_FRESHNESS_STRENGTH`` asks for.
    :param enrolled: what the owner has set up, before the new method takes the place of an earlier one
    """
    if not settings.new_method_wait:
        return None
    if strengths_of(enrolled, always=True).satisfied_by(session.proved_amr or ""):
        return None
    return clock.now() + settings.new_method_wait
