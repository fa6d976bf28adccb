"""Sign out the user's sessions, and forget known browsers."""

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
    """End one of this user's sessions and its tokens; return the number that were open.

    Ending the current session signs out. Idempotent: does nothing if the session has already ended.
    :raises Rejected: ``not_found`` (404) if it isn't this user's, or doesn't exist
    """
    if session_id == current.session_id:
        revoke_current_session()
        record("session.ended", user_id, reason="signed_out")
        return 1
    ended = revoke_session(session_id, user_id=user_id) if is_row_id(session_id) else 0
    if ended:
        record("session.ended", user_id, reason="ended_by_owner", sessions=ended)
    elif not _belongs_to(user_id, session_id):
        raise Rejected("not_found", status=404)
    return ended


def end_others(user_id: int, current: AuthSession) -> int:
    """End all of this user's sessions except the current one; return the number of sessions and tokens ended."""
    ended = revoke_all_sessions(user_id, except_id=current.session_id)
    revoke_trust(user_id, keep=known_digests())
    if ended:
        record("session.ended", user_id, reason="others_ended_by_owner", sessions=ended)
    return ended


def forget(user_id: int, row: str) -> None:
    """Forget a browser known to this user's account.

    :raises Rejected: ``not_found`` (404) if the account doesn't know it
    """
    if not _BROWSER.match(row) or not forget_browser(user_id, row):
        raise Rejected("not_found", status=404)
    record("browser.forgotten", user_id)


def revoke_device_trust(user_id: int, row: str) -> None:
    """Require this user's second factor in a browser again. The browser stays known.

    :raises Rejected: ``not_found`` (404) if the account doesn't trust it
    """
    if not _BROWSER.match(row) or not revoke_one_trust(user_id, row):
        raise Rejected("not_found", status=404)
    record("second_step.distrusted", user_id)


def known_by_session(heads: Sequence[AuthSession], known: Sequence[KnownDevice], here: AuthSession,
                     secrets_here: Collection[str]) -> dict[str, KnownDevice]:  # fmt: skip
    """Return the known browser of each session by session ID, so that a page can list each device once.

    The browser of this request is also matched by its cookie: its session may predate the column that links them.
    """
    by_digest = {browser.browser: browser for browser in known}
    mine = next((browser for browser in known if browser.browser in secrets_here), None)
    found = {head.session_id: by_digest[head.browser] for head in heads if head.browser in by_digest}
    return found | ({here.session_id: mine} if mine else {})


def _belongs_to(user_id: int, session_id: str) -> bool:
    session = find_session(session_id) if is_row_id(session_id) else None
    return session is not None and session.user_id == user_id
