"""This was not me: end what a mail told of, and slow down whoever asked. Signs nobody in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app import limits
from app.audit import record
from app.kit import clock
from app.kit.refusals import Refused
from app.methods import Challenge, denials
from app.methods.showing import asked
from app.methods.undoing import take_back
from app.sessions import pending, personal
from app.sessions.known import revoke_browsers
from app.sessions.models import AuthSession
from app.sessions.opening import deny_family, end_all, end_family, find_family, opened_by
from app.users import hold

SIGNED_IN_ALREADY = ("verify", "setup")
"""Only somebody signed in asks for these: when it was not the owner, every session may be the stranger's."""

OF_NEW_ADDRESSES = ("change_email", "add_email")
"""Their mails go to an address that is not the account's yet. Whoever reads it ends the request and no more."""


HELD_FIRST = (*SIGNED_IN_ALREADY, *OF_NEW_ADDRESSES, "recovery")
"""Who goes on with these holds the account first, and then their challenge; so does who denies them."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a page says of a request that can be denied: who asked (None when it is forgotten), and whether it was.

    :ivar taken_back: how many ways to sign in were removed by this very denial
    """

    asked: dict[str, Any] | None
    denied: bool
    taken_back: int = 0


def look(token: str, *, strictly: bool = True) -> Told:
    """Return what ``token`` is about, and change nothing.

    :param strictly: False lets any token pass for one whose request nobody remembers
    :raises Refused: ``denial_invalid`` (404) when it is none of ours or too old
    """
    if not strictly and denials.open_denial(token) is None:
        return Told(None, False)
    found = _found(token)
    if found is None:
        return Told(None, True)
    return Told(asked(found), found.denied_at is not None)


def deny(token: str) -> Told:
    """End the request and the session that it opened in the last 24 h, or the session that the mail told of.

    What that session has set up is taken back. No browser is known to the account any more, also where the session
    has ended by itself: whoever came in may have signed out, and would come back as no news. For a while the network
    address that asked may ask nothing. Saying it twice is saying it once.
    :raises Refused: as ``look``
    """
    found = _found(token)
    if found is None:
        return Told(None, True)
    gone = _deny_challenge(found) if isinstance(found, Challenge) else _deny_session(found)
    return Told(asked(found), True, gone)


def _found(token: str) -> Challenge | AuthSession | None:
    denial = denials.open_denial(token)
    if denial is None:
        raise Refused("denial_invalid", status=404)
    return denials.find_denied(denial.id) if denial.kind == "challenge" else find_family(denial.id)


def _deny_challenge(challenge: Challenge) -> int:
    early = challenge.purpose in HELD_FIRST
    _hold(challenge.user_id if early else None)  # the account and the request in the order of whoever answers it
    if not denials.deny(challenge):
        return 0
    _hold(None if early else challenge.user_id)
    pending.end_answering(challenge.id)
    for undo in denials.UNDOERS:
        undo(challenge)
    families = opened_by(challenge.id, clock.now() - denials.LIFE)
    ended = _end_sessions(challenge, families)
    gone = take_back(challenge.user_id, families, challenge.agent) if challenge.user_id else 0
    facts: dict[str, Any] = {"purpose": challenge.purpose, "sessions": ended, "methods": gone}
    record("link.denied_by_user", challenge.user_id, challenge_id=challenge.id, **facts)
    limits.penalize(challenge.address)
    return gone


def _deny_session(session: AuthSession) -> int:
    _hold(session.user_id)
    if not deny_family(session.family):
        return 0
    ended = end_family(session.family)
    revoke_browsers(session.user_id)
    personal.revoke_all(session.user_id, reason="denied")
    gone = take_back(session.user_id, [session.family], session.agent)
    facts: dict[str, Any] = {"sessions": ended, "methods": gone}
    record("link.denied_by_user", session.user_id, challenge_id=session.challenge_id, **facts)
    limits.penalize(session.address)
    return gone


def _hold(user_id: int | None) -> None:
    """Let what is being set up at this moment be stored before, or not at all."""
    if user_id is not None:
        hold(user_id)


def _end_sessions(challenge: Challenge, families: list[str]) -> int:
    """End what the request opened, and what whoever came in may have left behind; return how many sessions ended.

    Browsers are known no more, and no personal token opens anything. A request that opened nothing ends none of that:
    anybody can make one.
    """
    if challenge.user_id is None:
        return 0
    early = challenge.purpose in SIGNED_IN_ALREADY
    if early or families:
        revoke_browsers(challenge.user_id)
        personal.revoke_all(challenge.user_id, reason="denied")
    if early:
        return end_all(challenge.user_id)
    for family in families:
        deny_family(family)
    return sum(end_family(family) for family in families)
