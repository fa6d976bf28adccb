"""What ends elsewhere when sessions end, and when all that an account has given to programs is revoked.

A feature registers it, since this package knows none. A hook runs in the transaction that ends the sessions, after
them; what is to leave the service it adds to the outbox.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.extensions import this_app

if TYPE_CHECKING:
    from flask import Flask


@dataclass(frozen=True, slots=True)
class EndedSessions:
    """Which sessions have just ended: one, or those of a user.

    :ivar session_id: of the one; "" where they are those of a user
    :ivar user_id: whose sessions; 0 where it is one
    :ivar but: id of the one that goes on; "" for none
    """

    session_id: str = ""
    user_id: int = 0
    but: str = ""


EndHook = Callable[[EndedSessions], None]
RevocationHook = Callable[[int], None]
"""Called with the user's id."""

_OF_SESSIONS, _OF_ACCESS = "latchkey.session_end_hooks", "latchkey.revocation_hooks"


def register_session_end_hook(app: Flask, hook: EndHook) -> None:
    """Register what ends with a session, however it ends; it is not told of sessions that run out by themselves."""
    app.extensions.setdefault(_OF_SESSIONS, []).append(hook)


def register_revocation_hook(app: Flask, hook: RevocationHook) -> None:
    """Register what outlives sessions and is revoked where someone else may have been in an account, or it is closed.

    API tokens are revoked at the same places. A sign-out, and a person who ends sessions, leave both alone.
    """
    app.extensions.setdefault(_OF_ACCESS, []).append(hook)


def sessions_ended(which: EndedSessions) -> None:
    """Run what is registered for the end of sessions."""
    for hook in this_app().extensions.get(_OF_SESSIONS, ()):
        hook(which)


def access_revoked(user_id: int) -> None:
    """Run what is registered for the end of everything that an account has given to programs."""
    for hook in this_app().extensions.get(_OF_ACCESS, ()):
        hook(user_id)
