"""Offers a passkey after a sign-in without one; "not now" is remembered in the browser."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from flask import Response, after_this_request, request
from flask_login import current_user

from app import clock
from app.account import bp
from app.account.forms import ButtonForm
from app.authenticators.webauthn import passkeys
from app.crypto import secrets
from app.enrollments.models import Enrollment
from app.extensions import settings
from app.sessions.assurance import is_recent
from app.sessions.models import AuthSession
from app.users import User
from app.web.browser_cookie import set_cookie
from app.web.commit import view_commit
from app.web.guards import login_required
from app.web.respond import respond

NOT_NOW = "latchkey_not_now"
"""A cookie that says in which account a passkey was turned down last. It opens nothing."""

KEPT_FOR = timedelta(days=90)


def is_offered(user: User, session: AuthSession, enrolled: Sequence[Enrollment]) -> bool:
    """Whether to offer ``user`` a passkey now: they have none, have just proved who they are, and have not said no.

    No statement: what is set up and the session are at hand, and the rest is in a cookie.
    """
    has_one = any(row.method == passkeys.METHOD for row in enrolled)
    said_no = request.cookies.get(settings.cookie_prefix + NOT_NOW) == _mark(user)
    return (
        settings.can_use_passkeys and not has_one and is_recent(session.authenticated_at, clock.now()) and not said_no
    )


@bp.post("/passkey-offer/not-now")
@login_required
def passkey_not_now() -> Response:
    """Offer no passkey to this account in this browser for three months."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        answer = respond(go="/")
        set_cookie(answer, NOT_NOW, _mark(current_user), int(KEPT_FOR.total_seconds()))
        return answer
    return respond("errors/form.html", form)


def _mark(user: User) -> str:
    return secrets.digest(user.handle)[:16]
