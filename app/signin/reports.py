""" "This wasn't me" reports: end the reported request or session, and block the client's network for a while."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app import clock, throttling
from app.audit import record
from app.authenticators.presenters import requester_of
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
"""Purposes that only a signed-in user can request. If that wasn't the owner, any session may be the intruder's."""

OF_NEW_ADDRESSES = ("change_email", "add_email")
"""Purposes whose emails go to an address that isn't the account's yet. A report from there only ends the request."""


LOCKED_FIRST = (*SIGNED_IN_ALREADY, *OF_NEW_ADDRESSES, "recovery")
"""Purposes whose requests lock the account before the challenge. Reports must take the locks in the same order."""


@dataclass(frozen=True, slots=True)
class ReportView:
    """A request that can be reported, as the page shows it.

    :ivar asked: who made the request; None if it was deleted
    :ivar reported: whether it has been reported
    :ivar removed: number of sign-in methods removed by this report
    """

    asked: dict[str, Any] | None
    reported: bool
    removed: int = 0


def view(token: str, *, strict: bool = True) -> ReportView:
    """Return the subject of a report token without changing anything.

    :param strict: False treats an invalid token like one whose request was deleted
    :raises Rejected: ``denial_invalid`` (404) if the token isn't ours or has expired
    """
    if not strict and notice_links.open_report(token) is None:
        return ReportView(None, False)
    found = _found(token)
    if found is None:
        return ReportView(None, True)
    return ReportView(requester_of(found), found.denied_at is not None)


def report(token: str) -> ReportView:
    """End the reported request and the sessions it opened in the last 24 hours, or the reported session.

    What those sessions set up is removed. All known browsers of the account are forgotten, even if the session has
    already ended: an intruder may have signed out, and would otherwise sign in again without a notification. The
    network address of the request is blocked for a while. Reporting is idempotent.
    :raises Rejected: as ``view``
    """
    found = _found(token)
    if found is None:
        return ReportView(None, True)
    gone = _report_challenge(found) if isinstance(found, Challenge) else _report_session(found)
    return ReportView(requester_of(found), True, gone)


def _found(token: str) -> Challenge | AuthSession | None:
    link = notice_links.open_report(token)
    if link is None:
        raise Rejected("denial_invalid", status=404)
    return notice_links.find_reported(link.id) if link.kind == "challenge" else find_session(link.id)


def _report_challenge(challenge: Challenge) -> int:
    early = challenge.purpose in LOCKED_FIRST
    _lock_account(challenge.user_id if early else None)  # same lock order as when the challenge is answered
    if not notice_links.mark_reported(challenge):
        return 0
    _lock_account(None if early else challenge.user_id)
    pending.end_answered(challenge.id)
    for undo in notice_links.report_hooks():
        undo(challenge)
    session_ids = opened_by(challenge.id, clock.now() - notice_links.REPORTED_WITHIN)
    ended = _end_sessions(challenge, session_ids)
    gone = roll_back(challenge.user_id, session_ids, challenge.agent) if challenge.user_id else 0
    facts: dict[str, Any] = {"purpose": challenge.purpose, "sessions": ended, "methods": gone}
    record("link.denied_by_user", challenge.user_id, challenge_id=challenge.id, **facts)
    throttling.penalize(challenge.address)
    return gone


def _report_session(session: AuthSession) -> int:
    _lock_account(session.user_id)
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


def _lock_account(user_id: int | None) -> None:
    """Lock the account, so that enrollments in progress are either stored before the report or not at all."""
    if user_id is not None:
        lock_account(user_id)


def _end_sessions(challenge: Challenge, session_ids: list[str]) -> int:
    """End the sessions that the request opened, and revoke what an intruder may have left; return how many ended.

    Forgets known browsers and revokes API tokens, unless the request opened no session, since anyone can make such a
    request.
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
