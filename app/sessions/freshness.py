"""Freshness: how long ago the person behind a session proved that it is them."""

from __future__ import annotations

import sqlalchemy as sa

from app.database.plain import note
from app.extensions import changed, db, settings
from app.kit import clock
from app.kit.refusals import ReauthenticationRequired
from app.sessions import assurance
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


def freshen(session: AuthSession, proof: str) -> None:
    """Note that the person behind ``session`` has just proved it.

    :param proof: by what, in the manner of ``amr``: ``authenticator``, or ``webauthn,uv``
    """
    changes = assurance.proved_again(session, proof, clock.now())
    changed(sa.update(AuthSession).where(AuthSession.id == session.id).values(**changes))
    note(session, **changes)
