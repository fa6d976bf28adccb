"""Freshness: how long ago the person behind a session proved that it is them."""

from __future__ import annotations

import sqlalchemy as sa

from app.database.plain import note
from app.extensions import changed, db, settings
from app.kit import clock
from app.kit.refusals import ReauthenticationRequired
from app.sessions.models import AuthSession


def require_fresh(session: AuthSession | None) -> None:
    """Go on only if ``session`` is fresh.

    A fresh request may open a grace (``LATCHKEY_FRESHNESS_GRACE_PERIOD``), reading ones too, so it is written at
    once; the grace never extends itself.
    :raises ReauthenticationRequired: when the last proof is too old
    """
    now = clock.now()
    if session is None or not session.is_fresh(now):
        raise ReauthenticationRequired
    grace = settings.freshness_grace_period
    if grace and (session.grace_until is None or session.grace_until < now):
        until = now + grace
        opened = sa.update(AuthSession).where(AuthSession.id == session.id).values(grace_until=until)
        db.session.execute(opened.execution_options(at_once=True, synchronize_session=False))
        note(session, grace_until=until)


def freshen(session: AuthSession, method: str) -> None:
    """Note that the person behind ``session`` has just proved it by ``method``."""
    amr = ",".join(dict.fromkeys([*session.amr.split(","), method]))
    now = clock.now()
    changed(sa.update(AuthSession).where(AuthSession.id == session.id).values(authenticated_at=now, amr=amr))
    note(session, authenticated_at=now, amr=amr)
