"""The first verification of an account's email, and what it revokes."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from app.audit import record, signals
from app.authenticators.models import Passkey
from app.challenges.models import Challenge
from app.enrollments.catalog import METHODS
from app.enrollments.models import Enrollment
from app.extensions import db
from app.sessions.known_devices import revoke_browsers
from app.sessions.store import revoke_all_sessions
from app.users import User, confirm

PROVE_NO_ADDRESS = ("password", "authenticator")
"""Methods that open no account whose address is unproved."""


def verify_address(user: User, challenge: Challenge, *, browsers: Sequence[str] = ()) -> bool:
    """Note that the address ``challenge`` went to is the user's; return whether it is the account's first proof.

    With the first proof goes every credential and session from before it, for whoever had it may have been
    somebody else; all but the password that was given in this very browser.
    :param browsers: its bindings, none to keep nothing
    """
    first = confirm(user, METHODS[challenge.method].reaches, challenge.destination)
    if first:
        _sweep(user.id, browsers)
        revoke_all_sessions(user.id)
        revoke_browsers(user.id)
        record("address.confirmed", user.id, challenge_id=challenge.id, method=challenge.method)
        signals.send(signals.user_confirmed, user=user)
    return first


def _sweep(user_id: int, browsers: Sequence[str]) -> None:
    mine = (Enrollment.user_id == user_id, Enrollment.method.in_((*PROVE_NO_ADDRESS, Passkey.method)))
    kept = sa.and_(Enrollment.method == "password", Enrollment.name.in_(browsers), Enrollment.name != "")
    unkept = {"synchronize_session": False}
    db.session.execute(sa.delete(Enrollment).where(*mine, sa.not_(kept)).execution_options(**unkept))
    db.session.execute(sa.update(Enrollment).where(*mine).values(name="").execution_options(**unkept))
    db.session.execute(sa.delete(Passkey).where(Passkey.user_id == user_id).execution_options(**unkept))
