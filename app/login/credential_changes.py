"""Steps common to all credential changes: serialize them, keep a sign-in method, and revoke other sessions."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from app.authenticators import enrollments
from app.authenticators.webauthn.passkeys import signs_in_alone
from app.challenges.service import end_changes
from app.client import ClientContext
from app.enrollments.methods import active_methods, method_of
from app.errors import Rejected
from app.extensions import db, settings
from app.login import second_factor
from app.sessions import refresh_tokens
from app.sessions.known_devices import revoke_browsers
from app.sessions.models import AuthSession
from app.sessions.store import clear_session_cookie, renew_token, revoke_all_sessions, revoke_api_clients
from app.users import User, identities_of, lock_account


def lock_credentials(user: User, session: AuthSession) -> None:
    """Lock the user's row until the commit, so that changes of one account are serialized.

    :param session: the session that requests the change. If it was revoked or reported in the meantime, that takes
        precedence, and nothing is changed
    :raises Rejected: ``api_error`` in that case
    """
    lock_account(user.id)
    mine = sa.and_(AuthSession.session_id == session.session_id, AuthSession.kind == "browser")
    over = sa.or_(AuthSession.revoked_at.is_not(None), AuthSession.denied_at.is_not(None))
    ended = sa.select(AuthSession.id).where(sa.or_(AuthSession.id == session.id, mine), over)
    if db.session.scalars(ended.limit(1)).first() is not None:
        raise Rejected("api_error")


def revoke_other_sessions(user: User, session: AuthSession, client: ClientContext) -> None:
    """End the user's other sessions and the changes they started, and forget other browsers (ASVS 7.4.3, 7.2.4).

    In this session, only the token of the request stays valid: a browser gets a new one, an API client keeps its own.
    """
    revoke_all_sessions(user.id, except_id=session.session_id)
    end_changes(user.id, except_id=session.session_id)
    revoke_browsers(user.id, keep=client.known_secrets)
    refresh_tokens.revoke(session.session_id)
    revoke_api_clients(session.session_id, except_id=session.id)
    if session.kind == "browser":
        renew_token(session)
    else:
        clear_session_cookie(session.session_id)


def check_removal(user: User, names: Collection[str], field: str, *, passkey_id: str = "", app_id: str = "") -> None:
    """Check that the user can still sign in without the methods ``names``. The caller holds the lock on the user's row.

    :param field: form field for the error
    :param passkey_id: id of a passkey that is removed as well
    :param app_id: id of an authenticator app that is removed as well
    :raises Rejected: ``last_method`` or ``last_second_factor`` on ``field``
    """
    gone = {method_of(name).reaches for name in names if method_of(name).owns_identity}
    if gone and not set(identities_of(user.id)) - gone:
        raise Rejected("last_method", field=field)
    enrolled = enrollments.enrolled_of(user.id)
    left = [row for row in enrolled if row.method not in names and row.id != app_id]
    had_any = passkey_id or active_methods(enrolled)
    if had_any and not active_methods(left) and not signs_in_alone(user.id, except_id=passkey_id):
        raise Rejected("last_method", field=field)
    seconds = [row.method for row in left if row.is_second]
    if (
        seconds
        and not second_factor.can_still_sign_in(left, seconds)
        and not signs_in_alone(user.id, except_id=passkey_id)
    ):
        raise Rejected("last_method", field=field)
    had, has = ([row for row in rows if second_factor.can_be_second_factor(row.method)] for rows in (enrolled, left))
    if settings.second_factor == "required" and had and not has:
        raise Rejected("last_second_factor", field=field)
