"""The one place from which a sign-in creates a session."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from app.audit import record, signals
from app.client import ClientContext
from app.sessions.known_devices import note_sign_in
from app.sessions.models import AuthSession
from app.sessions.store import create_session
from app.throttling.by_account import LoginAttempt
from app.users import User


def create_login_session(
    user: User,
    via: str,
    client: ClientContext,
    *,
    remember: bool,
    seen_at: datetime | None = None,
    challenge_id: str | None = None,
    guess: LoginAttempt | None = None,
    then: str = "",
    held: bool = False,
) -> AuthSession:
    """Open a session for ``user``, who has proved it ``via`` a method, and say so.

    The browser is known to the account from now on; that it was new is told the owner by mail. So is that it sent no
    cookie: it may say of itself that it keeps none, and is given the session's all the same.
    :param seen_at: when it was last seen there, where that was looked up already
    :param challenge_id: the challenge that was answered, if there was one
    :param guess: the guess that was right, if something was typed; it is taken back
    :param via: several methods of one proof are joined by commas
    :param then: the method of the second step, if one was taken
    :param held: whether the last proof was by a method in its cooldown
    """
    browser = note_sign_in(user.id, client, seen_at, guess)
    amr, is_news = f"{via},{then}" if then else via, browser != "known" and via != "confirm"
    session = create_session(
        user, amr, client, remember=remember, challenge_id=challenge_id, is_news=is_news, held=held
    )
    facts: dict[str, Any] = {"method": via, "session": session.digest[:8], "browser": browser} | (
        {"second": then} if then else {}
    )
    record("sign_in.succeeded", user.id, challenge_id=challenge_id, **facts)
    signals.send(signals.user_authenticated, user=user, authn_via=None if then else [via])
    return session
