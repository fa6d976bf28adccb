"""What every change of credentials includes: it is serialized, and other sessions are revoked."""

from __future__ import annotations

import sqlalchemy as sa

from app.challenges.queries import end_changes
from app.client import ClientContext
from app.errors import Rejected
from app.extensions import db
from app.sessions import refresh_tokens
from app.sessions.known_devices import revoke_browsers
from app.sessions.models import AuthSession
from app.sessions.store import clear_session_cookie, renew_token, revoke_all_sessions, revoke_api_clients
from app.users import User, lock_account


def lock_credentials(user: User, session: AuthSession) -> None:
    """Hold the user's row until the commit: two changes of one account come one after the other.

    :param session: that asks for the change; when it has ended or was denied meanwhile, nothing is changed any more:
        what ended it came first
    :raises Rejected: ``api_error`` when it was
    """
    lock_account(user.id)
    mine = sa.and_(AuthSession.session_id == session.session_id, AuthSession.kind == "browser")
    over = sa.or_(AuthSession.revoked_at.is_not(None), AuthSession.denied_at.is_not(None))
    ended = sa.select(AuthSession.id).where(sa.or_(AuthSession.id == session.id, mine), over)
    if db.session.scalars(ended.limit(1)).first() is not None:
        raise Rejected("api_error")


def revoke_other_sessions(user: User, session: AuthSession, client: ClientContext) -> None:
    """End the user's other sessions and what they had begun, and know no other browser (ASVS 7.4.3, 7.2.4).

    Of this one, the token that asked goes on alone: a browser is given another in its place, a program keeps its own.
    """
    revoke_all_sessions(user.id, but=session.session_id)
    end_changes(user.id, but=session.session_id)
    revoke_browsers(user.id, but=client.known_secrets)
    refresh_tokens.drop(session.session_id)
    revoke_api_clients(session.session_id, but=session.id)
    if session.kind == "browser":
        renew_token(session)
    else:
        clear_session_cookie(session.session_id)
