"""Rename and remove authenticator apps one by one; ``service`` adds them."""

from __future__ import annotations

from app.audit import record, signals
from app.authenticators import totp_apps
from app.client import ClientContext
from app.errors import Rejected
from app.login import removal
from app.login.credential_changes import lock_credentials, revoke_other_sessions
from app.notifications import notices
from app.sessions.models import AuthSession
from app.users import User


def rename(user: User, session: AuthSession, app_id: str, name: str) -> None:
    """Give one of the user's apps another name.

    :raises Rejected: ``authenticator_not_found`` on ``id``; on ``name`` what is wrong with it; ``api_error`` when the
        session has ended meanwhile
    """
    tidy = totp_apps.checked(name)
    lock_credentials(user, session)
    if not totp_apps.rename(user.id, app_id, tidy):
        raise Rejected("authenticator_not_found", field="id")
    record("authenticator.renamed", user.id, method=totp_apps.METHOD)


def remove(user: User, session: AuthSession, app_id: str, client: ClientContext) -> None:
    """Remove one of the user's apps; its codes are refused at once, and the others stay.

    :raises Rejected: ``authenticator_not_found``, ``last_method`` or ``last_second_factor`` on ``id``; ``api_error``
        when the session has ended meanwhile
    """
    lock_credentials(user, session)
    if totp_apps.find(user.id, app_id) is None:
        raise Rejected("authenticator_not_found", field="id")
    removal.allow_removal(user, [], "id", app=app_id)
    totp_apps.remove(user.id, app_id)
    revoke_other_sessions(user, session, client)
    record("factor.removed", user.id, method=totp_apps.METHOD)
    notices.notify(user.id, "An authenticator app was removed.", client, session_id=session.session_id)
    signals.send(signals.us_profile_changed, user=user, methods=[totp_apps.METHOD], delete=True)
