"""What goes with every change of how somebody signs in: one after the other, and nobody else stays in."""

from __future__ import annotations

import sqlalchemy as sa

from app.extensions import db
from app.kit.asking import Asker
from app.kit.refusals import Refused
from app.sessions.known import revoke_browsers
from app.sessions.models import AuthSession
from app.sessions.opening import end_all, is_denied, renew_token
from app.users import User, hold


def take_turns(user: User, session: AuthSession | None = None) -> None:
    """Hold the user's row until the commit: two changes of one account come one after the other.

    :param session: that asks for the change; when it was denied meanwhile, nothing is changed any more
    :raises Refused: ``api_error`` when it was
    """
    hold(user.id)
    if session is not None and is_denied(session.family):
        raise Refused("api_error")


def take_turns_while_in(user: User, session: AuthSession) -> None:
    """Do as ``take_turns``, and go on only if ``session`` has not ended meanwhile: what ended it came first.

    :raises Refused: ``api_error``
    """
    take_turns(user, session)
    alive = sa.select(AuthSession.id).where(AuthSession.id == session.id, AuthSession.revoked_at.is_(None))
    if db.session.scalar(alive) is None:
        raise Refused("api_error")


def shut_out_others(user: User, session: AuthSession, asker: Asker) -> None:
    """End the user's other sessions, know no other browser, and change this one's token (ASVS 7.4.3, 7.2.4)."""
    end_all(user.id, but=session.family)
    revoke_browsers(user.id, but=asker.known)
    if session.kind == "browser":
        renew_token(session)
