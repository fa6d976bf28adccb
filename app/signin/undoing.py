"""Take back what a denied session has set up: ways to sign in by which whoever came in would come back."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from app.audit import record, signals
from app.extensions import db
from app.kit.asking import Asker
from app.methods import EnrolledMethod, Passkey, enrollment, notices, passkeys, recovery_codes
from app.methods.models import RecoveryCode
from app.methods.registry import active_methods
from app.methods.showing import TITLES
from app.sessions.models import AuthSession
from app.sessions.opening import end_all
from app.users import User, drop_identity, identities_of

Way = EnrolledMethod | Passkey | RecoveryCode
"""A recovery code stands for all of its set."""


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
    gone = [way for way in _set_up_by(user_id, set(families)) if _remove(user, way)]
    for way in gone:
        _tell(user_id, way, agent)
    if gone:
        end_all(user_id)
        signals.send(signals.us_profile_changed, user=user, methods=[way.method for way in gone], delete=True)
    return len(gone)


def _set_up_by(user_id: int, families: set[str]) -> list[Way]:
    """Return what these sessions have set up, and what was set up by way of that; passkeys first."""
    rows = [row for row in enrollment.enrolled_of(user_id) if row.method not in ("email", passkeys.METHOD)]
    ways: list[Way] = [*passkeys.passkeys_of(user_id), *recovery_codes.one_of(user_id), *rows]
    opened = db.session.execute(
        sa.select(AuthSession.family, AuthSession.amr, AuthSession.created_at).where(AuthSession.user_id == user_id)
    ).all()
    theirs: list[Way] = []
    while more := [way for way in ways if way.family in families and way not in theirs]:
        theirs += more
        for family, amr, created_at in opened:
            if any(way.method in amr.split(",") and way.created_at <= created_at for way in more):
                families.add(family)
    return [way for way in ways if way in theirs]


def _remove(user: User, way: Way) -> bool:
    """Remove a way, a phone with its number, unless no other would be left."""
    if isinstance(way, RecoveryCode):
        return recovery_codes.drop(user.id) > 0
    active = set(active_methods(enrollment.enrolled_of(user.id)))
    if isinstance(way, Passkey):
        left = bool(active) or passkeys.signs_in_alone(user.id, but=way.id)
        return left and passkeys.remove(user.id, way.id)
    if not active - {way.method} and not passkeys.signs_in_alone(user.id):
        return False
    if way.method == "sms":
        if not set(identities_of(user.id)) - {"phone"}:
            return False
        drop_identity(user, "phone")
    return enrollment.remove(user.id, way.method) > 0


def _tell(user_id: int, way: Way, agent: str) -> None:
    record("factor.removed", user_id, method=way.method, reason="denied")
    title = f"The passkey “{way.name}” was" if isinstance(way, Passkey) else f"{TITLES[way.method]} was"
    title = "The recovery codes were" if isinstance(way, RecoveryCode) else title
    what = f"{title} removed, because you said that it was not you who signed in."
    notices.tell(user_id, what, Asker("", "", agent))
