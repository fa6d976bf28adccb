""" "This wasn't me": end what an email told of, and slow down the client that asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app import clock, throttling
from app.audit import record
from app.authenticators.presenters import asked
from app.challenges import notice_links
from app.challenges.models import Challenge
from app.errors import Rejected
from app.login import pending
from app.login.rollback import roll_back
from app.sessions import api_tokens
from app.sessions.known_devices import revoke_browsers
from app.sessions.models import AuthSession
from app.sessions.store import find_session, opened_by, report_session, revoke_all_sessions, revoke_session
from app.users import lock_account

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
    :raises Rejected: ``denial_invalid`` (404) when it is none of ours or too old
    """
    if not strictly and notice_links.open_report(token) is None:
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
    :raises Rejected: as ``look``
    """
    found = _found(token)
    if found is None:
        return Told(None, True)
    gone = _deny_challenge(found) if isinstance(found, Challenge) else _deny_session(found)
    return Told(asked(found), True, gone)


def _found(token: str) -> Challenge | AuthSession | None:
    denial = notice_links.open_report(token)
    if denial is None:
        raise Rejected("denial_invalid", status=404)
    return notice_links.find_reported(denial.id) if denial.kind == "challenge" else find_session(denial.id)


def _deny_challenge(challenge: Challenge) -> int:
    early = challenge.purpose in HELD_FIRST
    _hold(challenge.user_id if early else None)  # the account and the request in the order of whoever answers it
    if not notice_links.mark_reported(challenge):
        return 0
    _hold(None if early else challenge.user_id)
    pending.end_answering(challenge.id)
    for undo in notice_links.report_hooks():
        undo(challenge)
    session_ids = opened_by(challenge.id, clock.now() - notice_links.REPORTED_WITHIN)
    ended = _end_sessions(challenge, session_ids)
    gone = roll_back(challenge.user_id, session_ids, challenge.agent) if challenge.user_id else 0
    facts: dict[str, Any] = {"purpose": challenge.purpose, "sessions": ended, "methods": gone}
    record("link.denied_by_user", challenge.user_id, challenge_id=challenge.id, **facts)
    throttling.penalize(challenge.address)
    return gone


def _deny_session(session: AuthSession) -> int:
    _hold(session.user_id)
    if not report_session(session.session_id):
        return 0
    ended = revoke_session(session.session_id)
    revoke_browsers(session.user_id)
    api_tokens.revoke_all(session.user_id, reason="denied")
    gone = roll_back(session.user_id, [session.session_id], session.agent)
    facts: dict[str, Any] = {"sessions": ended, "methods": gone}
    record("link.denied_by_user", session.user_id, challenge_id=session.challenge_id, **facts)
    throttling.penalize(session.address)
    return gone


def _hold(user_id: int | None) -> None:
    """Let what is being set up at this moment be stored before, or not at all."""
    if user_id is not None:
        lock_account(user_id)


def _end_sessions(challenge: Challenge, session_ids: list[str]) -> int:
    """End what the request opened, and what whoever came in may have left behind; return how many sessions ended.

    Browsers are known no more, and no personal token opens anything. A request that opened nothing ends none of that:
    anybody can make one.
    """
    if challenge.user_id is None:
        return 0
    early = challenge.purpose in SIGNED_IN_ALREADY
    if early or session_ids:
        revoke_browsers(challenge.user_id)
        api_tokens.revoke_all(challenge.user_id, reason="denied")
    if early:
        return revoke_all_sessions(challenge.user_id)
    for session_id in session_ids:
        report_session(session_id)
    return sum(revoke_session(session_id) for session_id in session_ids)
