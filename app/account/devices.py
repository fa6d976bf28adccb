"""Sign the user's sessions out, and forget known browsers."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from app.audit import record
from app.crypto.secrets import is_row_id
from app.errors import Rejected
from app.sessions.known_devices import forget_browser, known_digests, revoke_one_trust, revoke_trust
from app.sessions.models import AuthSession, KnownDevice
from app.sessions.store import find_session, revoke_all_sessions, revoke_current_session, revoke_session

_BROWSER = re.compile(r"[0-9a-f]{64}\Z")


def end_one(user_id: int, current: AuthSession, session_id: str) -> int:
    """End a session of this user with the tokens it gave; return how many were open.

    The current one is signed out. One that has ended already is let be: twice is the same as once.
    :raises Rejected: ``not_found`` (404) when it is not this user's, or nobody's
    """
    if session_id == current.session_id:
        revoke_current_session()
        record("session.ended", user_id, reason="signed_out")
        return 1
    ended = revoke_session(session_id, of=user_id) if is_row_id(session_id) else 0
    if ended:
        record("session.ended", user_id, reason="ended_by_owner", sessions=ended)
    elif not _was_mine(user_id, session_id):
        raise Rejected("not_found", status=404)
    return ended


def end_others(user_id: int, current: AuthSession) -> int:
    """End every session of this user but the current one; return how many sessions and tokens were open."""
    ended = revoke_all_sessions(user_id, but=current.session_id)
    revoke_trust(user_id, but=known_digests())
    if ended:
        record("session.ended", user_id, reason="others_ended_by_owner", sessions=ended)
    return ended


def forget(user_id: int, row: str) -> None:
    """Let a browser be known to this user's account no more.

    :raises Rejected: ``not_found`` (404) when the account does not know it
    """
    if not _BROWSER.match(row) or not forget_browser(user_id, row):
        raise Rejected("not_found", status=404)
    record("browser.forgotten", user_id)


def ask_again(user_id: int, row: str) -> None:
    """Ask for this user's second step in a browser again, which stays known.

    :raises Rejected: ``not_found`` (404) when the account does not trust it
    """
    if not _BROWSER.match(row) or not revoke_one_trust(user_id, row):
        raise Rejected("not_found", status=404)
    record("second_step.distrusted", user_id)


def known_by_session(heads: Sequence[AuthSession], known: Sequence[KnownDevice], here: AuthSession,
                     secrets_here: Collection[str]) -> dict[str, KnownDevice]:  # fmt: skip
    """Return by session id the known browser that the session is in, so that a page can list the device once.

    That of this request is known by its cookie as well: its session may have begun before sessions said it.
    """
    by_digest = {browser.browser: browser for browser in known}
    mine = next((browser for browser in known if browser.browser in secrets_here), None)
    found = {head.session_id: by_digest[head.browser] for head in heads if head.browser in by_digest}
    return found | ({here.session_id: mine} if mine else {})


def _was_mine(user_id: int, session_id: str) -> bool:
    session = find_session(session_id) if is_row_id(session_id) else None
    return session is not None and session.user_id == user_id
