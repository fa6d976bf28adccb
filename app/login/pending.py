"""Pending sign-ins, which wait for their second factor: start, look up, count tries and use them up.

A browser keeps the random token in a separate cookie, an API client sends it back. It grants access only to the second
factor and to signing out, and expires after ``LATCHKEY_SECOND_FACTOR_WITHIN``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app import clock
from app.client import ClientContext
from app.crypto import secrets
from app.db.compiled import CompiledStatement, Detached, detached_from, update_detached
from app.errors import Rejected
from app.extensions import db, execute_update, settings
from app.sessions.models import PendingSignIn
from app.sessions.store import set_pending_cookie
from app.users import User

TRIES = 5
"""Maximum number of wrong codes (ASVS 6.3.3 and NIST SP 800-63B 3.2.2 leave the limit to us)."""

_ROWS = Detached(PendingSignIn, User)
_table, _user = PendingSignIn.__table__, User.__table__
_c = _table.c
_INSERT = CompiledStatement.into(_table)
_open = (_c.ended_at.is_(None), _c.expires_at > sa.bindparam("now"))
_CURRENT = (
    _ROWS.select()
    .select_from(_table.join(_user, _user.c.id == _c.user_id))
    .where(_c.digest == sa.bindparam("digest"), *_open)
)
_COUNT = (
    sa.update(_table)
    .where(_c.id == sa.bindparam("waiting"), *_open, _c.tries < TRIES)
    .values(tries=_c.tries + 1)
    .returning(_c.tries)
    .execution_options(autocommit=True)
)
_LOCK = sa.update(_table).where(_c.id == sa.bindparam("waiting"), *_open).values(tries=_c.tries)
_CONSUME = sa.update(_table).where(_c.id == sa.bindparam("waiting"), *_open).values(ended_at=sa.bindparam("now"))


@dataclass(frozen=True, slots=True)
class PendingState:
    """A pending sign-in, as the response to the first factor describes it.

    :ivar token: its token, for an API client without cookies; "" for a browser
    """

    row: PendingSignIn
    token: str = ""


@dataclass(frozen=True, slots=True)
class StartedPending:
    """A pending sign-in and its user, who isn't signed in yet."""

    row: PendingSignIn
    user: User

    @property
    def choices(self) -> list[str]:
        """The accepted methods."""
        return [name for name in self.row.choices.split(",") if name]


def start(
    user: User, amr: str, state: str, choices: Sequence[str], client: ClientContext, *, answered_id: str | None,
    remember: bool, next_page: str,
) -> PendingState:  # fmt: skip
    """Start a pending sign-in; end the browser's earlier one. The cookie is set once the row is stored."""
    end(client)
    token, now = secrets.token(), clock.now()
    row = {
        "id": secrets.row_id(), "digest": secrets.digest(token), "user_id": user.id, "amr": amr,
        "answered_id": answered_id, "state": state, "choices": ",".join(choices), "tries": 0,
        "method": choices[0] if len(choices) == 1 else "", "remember": remember, "next": next_page[:2048],
        "address": client.ip_address, "agent": client.user_agent, "created_at": now,
        "expires_at": now + settings.second_factor_within,
    }  # fmt: skip
    _INSERT.run(**row)
    set_pending_cookie(token, settings.second_factor_within)
    return PendingState(detached_from(PendingSignIn, row), "" if client.keeps_cookies else token)


def current(client: ClientContext) -> StartedPending | None:
    """Return the client's pending sign-in if it is still open and its user active, else None. One statement."""
    if not client.pending_secret:
        return None
    found = db.session.execute(_CURRENT, {"digest": client.pending_secret, "now": clock.now()}).first()
    if found is None:
        return None
    row, user = _ROWS.read(found)
    return StartedPending(row, user) if user.is_active else None


def get(client: ClientContext) -> StartedPending:
    """Return the client's pending sign-in.

    :raises Rejected: ``two_factor_permission_denied`` if there is none
    """
    pending_sign_in = current(client)
    if pending_sign_in is None:
        raise Rejected("two_factor_permission_denied")
    return pending_sign_in


def count_try(pending_sign_in: StartedPending) -> int:
    """Count a code before checking it; return the number of codes so far, or 0 if no try is left.

    Committed immediately, and exact under concurrency.
    """
    now = clock.now()
    return int(db.session.execute(_COUNT, {"waiting": pending_sign_in.row.id, "now": now}).scalar() or 0)


def record_challenge(pending_sign_in: StartedPending, method: str, challenge_id: str | None, state: str) -> None:
    """Record the method and challenge now in use for the second factor."""
    values: dict[str, Any] = {"method": method, "question_id": challenge_id, "state": state}
    still = (PendingSignIn.id == pending_sign_in.row.id, PendingSignIn.ended_at.is_(None))
    execute_update(sa.update(PendingSignIn).where(*still).values(**values))
    update_detached(pending_sign_in.row, **values)


def lock(pending_sign_in: StartedPending) -> bool:
    """Lock a pending sign-in until the commit; return False if it has been used, ended or expired.

    For work that must not be done, and codes that must not be used up, unless the sign-in becomes a session.
    """
    return execute_update(_LOCK, {"waiting": pending_sign_in.row.id, "now": clock.now()}) == 1


def consume(pending_sign_in: StartedPending) -> bool:
    """End a pending sign-in that becomes a session; return False if it has been used, ended or expired."""
    set_pending_cookie("", settings.second_factor_within)
    return execute_update(_CONSUME, {"waiting": pending_sign_in.row.id, "now": clock.now()}) == 1


def end(client: ClientContext) -> None:
    """End the client's pending sign-in, if any, and clear its cookie."""
    if not client.pending_secret:
        return
    mine = (PendingSignIn.digest == client.pending_secret, PendingSignIn.ended_at.is_(None))
    execute_update(sa.update(PendingSignIn).where(*mine).values(ended_at=clock.now()))
    clear_cookie(client)


def clear_cookie(client: ClientContext) -> None:
    """Clear the cookie of a pending sign-in and change nothing else, for GET requests."""
    if client.pending_secret:
        set_pending_cookie("", settings.second_factor_within)


def end_answered(challenge_id: str) -> int:
    """End the pending sign-ins started by answering this challenge; return how many were open."""
    begun = (PendingSignIn.answered_id == challenge_id, PendingSignIn.ended_at.is_(None))
    return execute_update(sa.update(PendingSignIn).where(*begun).values(ended_at=clock.now()))
