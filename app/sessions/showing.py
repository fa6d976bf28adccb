"""What a program is told of the user it signed in."""

from __future__ import annotations

from typing import Any

from app.sessions.models import AuthSession
from app.sessions.opening import open_program_session
from app.users import User


def user_facts(user: User, session: AuthSession | None = None, *, with_token: bool = False) -> dict[str, Any]:
    """Return ``user`` for a program.

    :param with_token: give it a token of its own beside ``session`` (the query's ``include_auth_token``)
    """
    facts: dict[str, Any] = {"id": user.handle}
    if session is not None and with_token:
        facts["authentication_token"] = open_program_session(session)
    return facts
