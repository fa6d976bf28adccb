"""What pages and programs are told of the user who is signed in."""

from __future__ import annotations

from typing import Any

from app.sessions.models import AuthSession
from app.sessions.opening import open_program_session
from app.users import User


def label_of(identities: dict[str, str]) -> str:
    """Return by which of their identities a page calls somebody: the address, else the first there is."""
    return identities.get("email") or next(iter(identities.values()), "")


def user_facts(user: User, session: AuthSession | None = None, *, with_token: bool = False) -> dict[str, Any]:
    """Return ``user`` for a program.

    :param with_token: give it a token of its own beside ``session`` (the query's ``include_auth_token``)
    """
    facts: dict[str, Any] = {"id": user.handle}
    if session is not None and with_token:
        facts["authentication_token"] = open_program_session(session)
    return facts
