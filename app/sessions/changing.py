"""What goes with every change of how somebody signs in: one after the other, and nobody else stays in."""

from __future__ import annotations

import sqlalchemy as sa

from app.extensions import db
from app.kit.asking import Asker
from app.kit.refusals import Refused
from app.methods.superseding import end_changes
from app.sessions import refreshing
from app.sessions.known import revoke_browsers
from app.sessions.models import AuthSession
from app.sessions.opening import end_all, end_programs, lose_cookie, renew_token
from app.users import User, hold


def take_turns(user: User, session: AuthSession) -> None:
    """Hold the user's row until the commit: two changes of one account come one after the other.

    :param session: that asks for the change; when it has ended or was denied meanwhile, nothing is changed any more:
        what ended it came first
    :raises Refused: ``api_error`` when it was
    """
    hold(user.id)
    mine = sa.and_(AuthSession.family == session.family, AuthSession.kind == "browser")
    over = sa.or_(AuthSession.revoked_at.is_not(None), AuthSession.denied_at.is_not(None))
    ended = sa.select(AuthSession.id).where(sa.or_(AuthSession.id == session.id, mine), over)
    if db.session.scalars(ended.limit(1)).first() is not None:
        raise Refused("api_error")


def shut_out_others(user: User, session: AuthSession, asker: Asker) -> None:
    """End the user's other sessions and what they had begun, and know no other browser (ASVS 7.4.3, 7.2.4).

    Of this one, the token that asked goes on alone: a browser is given another in its place, a program keeps its own.
    """
    end_all(user.id, but=session.family)
    end_changes(user.id, but=session.family)
    revoke_browsers(user.id, but=asker.known)
    refreshing.drop(session.family)
    end_programs(session.family, but=session.id)
    if session.kind == "browser":
        renew_token(session)
    else:
        lose_cookie(session.family)
