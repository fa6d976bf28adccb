"""Take back what a denied session has set up: ways to sign in by which whoever came in would come back."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from app.audit import record, signals
from app.extensions import db
from app.kit.asking import Asker
from app.methods import EnrolledMethod, enrollment, notices
from app.methods.registry import active_methods
from app.methods.showing import TITLES
from app.sessions.models import AuthSession
from app.sessions.opening import end_all
from app.users import User, drop_identity, identities_of


def take_back(user_id: int, families: Collection[str], agent: str) -> int:
    """Remove the ways to sign in that these sessions have set up; return how many went.

    With them go those that sessions opened by them have set up, and all sessions of the account. Mail stays: it goes
    to an address that nobody can change there. So does what would leave the account without any way in.
    The caller holds the user's row.
    :param agent: User-Agent of whoever came in, for the mails that tell of it
    """
    user = db.session.get(User, user_id)
    if user is None:
        return 0
    gone = [name for name in _set_up_by(user_id, set(families)) if _remove(user, name)]
    for name in gone:
        _tell(user_id, name, agent)
    if gone:
        end_all(user_id)
        signals.send(signals.us_profile_changed, user=user, methods=gone, delete=True)
    return len(gone)


def _set_up_by(user_id: int, families: set[str]) -> list[str]:
    """Return the names of what these sessions have set up, and of what was set up by way of that."""
    ways = [row for row in enrollment.enrolled_of(user_id) if row.method != "email"]
    opened = db.session.execute(
        sa.select(AuthSession.family, AuthSession.amr, AuthSession.created_at).where(AuthSession.user_id == user_id)
    ).all()
    theirs: list[EnrolledMethod] = []
    while more := [row for row in ways if row.family in families and row not in theirs]:
        theirs += more
        for family, amr, created_at in opened:
            if any(row.method in amr.split(",") and row.created_at <= created_at for row in more):
                families.add(family)
    return [row.method for row in theirs]


def _remove(user: User, name: str) -> bool:
    """Remove a way with the number that came with it, unless no other would be left."""
    if not set(active_methods(enrollment.enrolled_of(user.id))) - {name}:
        return False
    if name == "sms":
        if not set(identities_of(user.id)) - {"phone"}:
            return False
        drop_identity(user, "phone")
    return enrollment.remove(user.id, name) > 0


def _tell(user_id: int, name: str, agent: str) -> None:
    record("factor.removed", user_id, method=name, reason="denied")
    what = f"{TITLES[name]} was removed, because you said that it was not you who signed in."
    notices.tell(user_id, what, Asker("", "", agent))
