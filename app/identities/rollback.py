"""Undo changes of an account's addresses, by the link sent to its old ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.authenticators.presenters import asked
from app.challenges import service as challenges
from app.challenges.undo_links import open_undo
from app.errors import Rejected
from app.extensions import db
from app.login.rollback import give_mail_back, restore_addresses, roll_back
from app.sessions import api_tokens
from app.sessions.known_devices import revoke_browsers
from app.sessions.store import revoke_all_sessions
from app.users import AddressChange, User, lock_account
from app.users.identity_changes import find_change


@dataclass(frozen=True, slots=True)
class Told:
    """What a page says of a change that can be undone: who made it (None when it is forgotten), and whether it was."""

    asked: dict[str, Any] | None
    undone: bool


def look(token: str, *, strictly: bool = True) -> Told:
    """Return what ``token`` is about, and change nothing.

    :param strictly: False lets any token pass for one whose change nobody remembers
    :raises Rejected: ``change_undo_invalid`` (404) when it is none of ours or too old
    """
    if not strictly and open_undo(token) is None:
        return Told(None, False)
    found = _found(token)
    return Told(asked(found), found.undone_at is not None)


def undo(token: str) -> Told:
    """Give the account the addresses back that it had before the change, and end everything that came after.

    What was done to the addresses since goes too, and what the session that changed them has set up; nobody stays
    signed in, no browser is known, and neither a personal token nor what was sent is good any more. Signs nobody in.
    Saying it twice is saying it once.
    :raises Rejected: as ``look``; ``undo_taken``, ``last_address``
    """
    found = _found(token)
    lock_account(found.user_id)
    db.session.refresh(found)
    user = db.session.get(User, found.user_id)
    if found.undone_at is not None or user is None:
        return Told(asked(found), True)
    restore_addresses(user, found, found.agent, strictly=True)
    give_mail_back(user, found.session_id)
    roll_back(user.id, [found.session_id], found.agent)
    challenges.end_open(user.id)
    revoke_all_sessions(user.id)
    revoke_browsers(user.id)
    api_tokens.revoke_all(user.id, reason="denied")
    return Told(asked(found), True)


def _found(token: str) -> AddressChange:
    its_id = open_undo(token)
    found = find_change(its_id) if its_id else None
    if found is None:
        raise Rejected("change_undo_invalid", status=404)
    return found
