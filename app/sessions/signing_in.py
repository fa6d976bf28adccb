"""The tail of every sign-in: the one place from which a session is opened."""

from __future__ import annotations

from app.audit import record, signals
from app.kit.asking import Asker
from app.sessions.models import AuthSession
from app.sessions.opening import open_session
from app.users import User


def sign_in_as(user: User, via: str, asker: Asker, *, remember: bool) -> AuthSession:
    """Open a session for ``user``, who has proved it ``via`` a method, and say so."""
    session = open_session(user, via, asker, remember=remember)
    record("sign_in.succeeded", user.id, method=via, session=session.digest[:8])
    signals.send(signals.user_authenticated, user=user, authn_via=[via])
    return session
