"""Hooks for when sessions end, and when all access that an account granted to apps is revoked.

Features register hooks here, since this package must not import them. A hook runs after the sessions are ended, in the
same transaction; to contact other services, it adds messages to the outbox.
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
    """The sessions that have just ended: either one session or those of a user.

    :ivar session_id: id of the session; "" for the sessions of a user
    :ivar user_id: the user whose sessions ended; 0 for a single session
    :ivar except_id: id of the user's session that stays open; "" for none
    """

    session_id: str = ""
    user_id: int = 0
    except_id: str = ""


EndHook = Callable[[EndedSessions], None]
RevocationHook = Callable[[int], None]
"""Called with the user's id."""

_OF_SESSIONS, _OF_ACCESS = "latchkey.session_end_hooks", "latchkey.revocation_hooks"


def register_session_end_hook(app: Flask, hook: EndHook) -> None:
    """Register a hook that is called whenever sessions are revoked, but not when they expire."""
    app.extensions.setdefault(_OF_SESSIONS, []).append(hook)


def register_revocation_hook(app: Flask, hook: RevocationHook) -> None:
    """Register a hook that revokes access outliving sessions, when an account may be compromised or is closed.

    API tokens are revoked in the same cases. Signing out or ending sessions affects neither.
    """
    app.extensions.setdefault(_OF_ACCESS, []).append(hook)


def sessions_ended(which: EndedSessions) -> None:
    """Run the hooks for ended sessions."""
    for hook in this_app().extensions.get(_OF_SESSIONS, ()):
        hook(which)


def access_revoked(user_id: int) -> None:
    """Run the hooks that revoke the access an account granted to apps."""
    for hook in this_app().extensions.get(_OF_ACCESS, ()):
        hook(user_id)
