"""Exchange a refresh token for an access token and the next refresh token."""

from __future__ import annotations

from app import limits
from app.audit import record
from app.kit.asking import Asker
from app.kit.refusals import Refused
from app.methods import notices
from app.sessions import refreshing
from app.sessions.refreshing import Exchanged, Reused


def refresh(token: str, asker: Asker) -> Exchanged:
    """Exchange ``token``, once. One that was exchanged before ends its session, and its owner is told.

    :raises Refused: ``refresh_token_invalid`` or ``refresh_token_reused`` (401) on ``refresh_token``;
        ``too_many_requests`` after too many exchanges, or too many of these, from one network address
    """
    limits.take("exchanges", asker.address)
    limits.allow("failures", asker.address)
    done = refreshing.exchange(token)
    if isinstance(done, Exchanged):
        return done
    if isinstance(done, Reused):
        record("refresh.reused", done.user_id)
        what = "A program was signed out, because its refresh token came twice. Somebody may have a copy of it."
        notices.tell(done.user_id, what, asker, family=done.family)
    limits.take("failures", asker.address)
    code = "refresh_token_reused" if isinstance(done, Reused) else "refresh_token_invalid"
    raise Refused(code, field="refresh_token", status=401)


def sign_out(token: str) -> None:
    """End the session that gave this refresh token, if there is one. Whoever holds it may; nobody is told whether."""
    user_id = refreshing.end(token)
    if user_id is not None:
        record("session.ended", user_id, reason="signed_out")
