"""API tokens: created by a user for their own programs, with an expiry and scopes.

A table apart from the sessions: none of them is ever fresh, signs in anywhere or gives another token, and what ends
sessions need not end them. A request that brings one costs what a session costs, one statement.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from app import clock
from app.audit import record
from app.crypto import secrets
from app.db.compiled import CompiledStatement, Detached, detached_from
from app.extensions import changed, db, settings
from app.sessions.models import ApiToken, AuthSession
from app.users import User

AMR = "personal_token"
"""Stands where a session tells by what it was proved."""

KEPT_FOR = timedelta(days=30)
"""For so long one that has run out is shown, so that nobody wonders why their program stopped."""

MOST = 200
"""Tokens that are listed at once."""

NEVER = datetime.min.replace(tzinfo=UTC)

_ROWS = Detached(ApiToken, User)
_TOKENS = Detached(ApiToken)
_c, _user = ApiToken.__table__.c, User.__table__
_BY_DIGEST = CompiledStatement(
    _ROWS.select()
    .select_from(ApiToken.__table__.join(_user, _user.c.id == _c.user_id))
    .where(_c.digest == sa.bindparam("digest"))
)
_INSERT = CompiledStatement.into(ApiToken.__table__)


def is_personal(token: str) -> bool:
    """Say whether ``token`` claims to be a personal one."""
    return token.startswith(secrets.API_PREFIX)


def find(token: str) -> tuple[ApiToken, User] | None:
    """Return the living token and its user, if they may come in. One statement; none for what was cut or mistyped."""
    if not settings.personal_tokens or not secrets.has_prefix(token, secrets.API_PREFIX):
        return None
    found = _BY_DIGEST.first(digest=secrets.digest(token))
    if found is None:
        return None
    personal, user = _ROWS.read(found)
    return (personal, user) if personal.is_alive(clock.now()) and user.is_active else None


def stand_in(personal: ApiToken) -> AuthSession:
    """Return what stands for the session of a request that brought ``personal``. It is in no table and never fresh."""
    now = clock.now()
    return detached_from(AuthSession, {
        "session_id": "", "user_id": personal.user_id, "kind": "personal", "amr": AMR,
        "created_at": personal.created_at, "seen_at": now, "authenticated_at": NEVER,
        "expires_at": personal.expires_at, "persistent": False,
        "address": "", "agent": "", "untold": False,
    })  # fmt: skip


def used(personal: ApiToken, address: str, every: timedelta) -> sa.Update | None:
    """Return the statement that notes the use of ``personal`` from ``address``; None when that was noted just now."""
    now = clock.now()
    if personal.last_used_at is not None and now - personal.last_used_at <= every:
        return None
    due = sa.or_(_c.last_used_at.is_(None), _c.last_used_at < now - every)
    noted = sa.update(ApiToken).where(_c.id == personal.id, due)
    return noted.values(last_used_at=now, last_used_address=address)


def issue(user_id: int, name: str, scopes: Collection[str], life: timedelta, session_id: str) -> tuple[ApiToken, str]:
    """Make a token for ``life`` from now; return its row, and the token itself, which can be told only now.

    :param session_id: the session that asks for it
    """
    token = secrets.prefixed_token(secrets.API_PREFIX)
    now = clock.now()
    row = {
        "id": secrets.row_id(), "digest": secrets.digest(token), "user_id": user_id, "name": name,
        "scopes": ",".join(scopes), "session_id": session_id, "created_at": now, "expires_at": now + life,
        "last_used_address": "",
    }  # fmt: skip
    _INSERT.run(**row)
    return detached_from(ApiToken, row), token


def tokens_of(user_id: int) -> list[ApiToken]:
    """Return a user's tokens that live, or have run out of late, the newest first; ``MOST`` of them at most."""
    mine = (_c.user_id == user_id, _c.revoked_at.is_(None), _c.expires_at > clock.now() - KEPT_FOR)
    newest = _TOKENS.select().where(*mine).order_by(_c.created_at.desc(), _c.id).limit(MOST)
    return [_TOKENS.read(row)[0] for row in db.session.execute(newest)]


def living(user_id: int) -> int:
    """Return how many tokens of a user are alive. Exact while the caller holds the user's row."""
    alive = (_c.user_id == user_id, _c.revoked_at.is_(None), _c.expires_at > clock.now())
    return db.session.scalar(sa.select(sa.func.count()).select_from(ApiToken).where(*alive)) or 0


def revoke(user_id: int, token_id: str) -> ApiToken | None:
    """End one token of this user, living or run out; return it as it was, or None when they have no such token."""
    mine = _TOKENS.select().where(_c.id == token_id, _c.user_id == user_id)
    found = db.session.execute(mine).first()
    if found is None:
        return None
    token: ApiToken = _TOKENS.read(found)[0]
    _end((_c.id == token_id, _c.user_id == user_id))
    return token


def revoke_all(user_id: int, reason: str = "") -> int:
    """End every token of a user; at once, on every replica. Return how many were alive.

    Who ends them because a stranger may have made one holds the user's row before, so that none is made meanwhile.
    :param reason: "" where the user asked for it
    """
    ended = _end((_c.user_id == user_id, _c.expires_at > clock.now()))
    if ended:
        record("tokens.revoked", user_id, reason=reason, tokens=ended)
    return ended


def _end(which: Sequence[sa.ColumnElement[bool]]) -> int:
    now = clock.now()
    ended = sa.update(ApiToken).where(*which, _c.revoked_at.is_(None))
    return changed(ended.values(revoked_at=now, expires_at=now))
