"""API tokens: created by users for their own scripts, with an expiry and scopes.

They have their own table, since a token is never fresh, can't create sessions or other tokens, and isn't necessarily
revoked when sessions are. Authenticating a request costs one statement, as with a session.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from app import clock
from app.audit import record
from app.crypto import secrets
from app.db.compiled import CompiledStatement, Detached, detached_from
from app.extensions import db, execute_update, settings
from app.sessions.end_hooks import access_revoked
from app.sessions.models import ApiToken, AuthSession
from app.users import User

AMR = "personal_token"
"""Used instead of a session's authentication methods."""

KEPT_FOR = timedelta(days=30)
"""How long an expired token is still listed, so that its owner can see why a script stopped working."""

MAX_LISTED = 200
"""Maximum number of tokens listed."""

NEVER = datetime.min.replace(tzinfo=UTC)

_ROWS = Detached(ApiToken, User)
_TOKENS = Detached(ApiToken)
_c, _user = ApiToken.__table__.c, User.__table__
_BY_DIGEST = CompiledStatement(
    _ROWS.select()
    .select_from(ApiToken.__table__.join(_user, _user.c.id == _c.user_id))
    .where(_c.digest == sa.bindparam("digest"))
)
RECORD_USE = CompiledStatement(
    sa.update(ApiToken.__table__)
    .where(_c.id == sa.bindparam("token"), sa.or_(_c.last_used_at.is_(None), _c.last_used_at < sa.bindparam("due")))
    .values(last_used_at=sa.bindparam("now"), last_used_address=sa.bindparam("address")),
    autocommit=True,
)
"""Records a use, unless one was recorded since ``due``."""


def is_api_token(token: str) -> bool:
    """Return whether ``token`` has the prefix of an API token."""
    return token.startswith(secrets.API_PREFIX)


def find(token: str) -> tuple[ApiToken, User] | None:
    """Return an active token and its active user, or None. One statement; none if the checksum is wrong."""
    if not settings.personal_tokens or not secrets.has_prefix(token, secrets.API_PREFIX):
        return None
    found = _BY_DIGEST.first_without_session(digest=secrets.digest(token))
    if found is None:
        return None
    api_token, user = _ROWS.read(found)
    return (api_token, user) if api_token.is_alive(clock.now()) and user.is_active else None


def session_for(api_token: ApiToken) -> AuthSession:
    """Return the session that views see for a request with ``api_token``. It's never stored, and never fresh."""
    now = clock.now()
    return detached_from(AuthSession, {
        "session_id": "", "user_id": api_token.user_id, "kind": "personal", "amr": AMR,
        "created_at": api_token.created_at, "seen_at": now, "authenticated_at": NEVER,
        "expires_at": api_token.expires_at, "persistent": False,
        "address": "", "agent": "", "untold": False,
    })  # fmt: skip


def issue(user_id: int, name: str, scopes: Collection[str], life: timedelta, session_id: str) -> tuple[ApiToken, str]:
    """Create a token that is valid for ``life``; return its row and the token itself, which isn't stored.

    :param session_id: the session that creates the token
    """
    token = secrets.prefixed_token(secrets.API_PREFIX)
    now = clock.now()
    row = {
        "id": secrets.row_id(), "digest": secrets.digest(token), "user_id": user_id, "name": name,
        "scopes": ",".join(scopes), "session_id": session_id, "created_at": now, "expires_at": now + life,
        "last_used_address": "",
    }  # fmt: skip
    db.session.execute(sa.insert(ApiToken.__table__).values(row))
    return detached_from(ApiToken, row), token


def tokens_of(user_id: int) -> list[ApiToken]:
    """Return a user's active and recently expired tokens, newest first, up to ``MAX_LISTED``."""
    mine = (_c.user_id == user_id, _c.revoked_at.is_(None), _c.expires_at > clock.now() - KEPT_FOR)
    newest = _TOKENS.select().where(*mine).order_by(_c.created_at.desc(), _c.id).limit(MAX_LISTED)
    return [_TOKENS.read(row)[0] for row in db.session.execute(newest)]


def count_active(user_id: int) -> int:
    """Return the number of active tokens of a user. Exact if the caller holds the lock on the user's row."""
    alive = (_c.user_id == user_id, _c.revoked_at.is_(None), _c.expires_at > clock.now())
    return db.session.scalar(sa.select(sa.func.count()).select_from(ApiToken).where(*alive)) or 0


def revoke(user_id: int, token_id: str) -> ApiToken | None:
    """Revoke one token of this user, active or expired; return it as it was, or None if there is none."""
    mine = _TOKENS.select().where(_c.id == token_id, _c.user_id == user_id)
    found = db.session.execute(mine).first()
    if found is None:
        return None
    token: ApiToken = _TOKENS.read(found)[0]
    _revoke((_c.id == token_id, _c.user_id == user_id))
    return token


def revoke_all(user_id: int, reason: str = "") -> int:
    """Revoke every token of a user, effective immediately on every replica; return how many were active.

    With a reason, also revoke app access that outlives sessions. A caller that suspects an intruder must hold the lock
    on the user's row, so that no token is created in the meantime.
    :param reason: "" if the user asked to revoke only API tokens
    """
    ended = _revoke((_c.user_id == user_id, _c.expires_at > clock.now()))
    if reason:
        access_revoked(user_id)
    if ended:
        record("tokens.revoked", user_id, reason=reason, tokens=ended)
    return ended


def revoke_with_scope(user_id: int, scope: str) -> int:
    """Revoke a user's tokens with this scope; return how many were active. Recording the event is up to the caller."""
    has_it = ("," + _c.scopes + ",").contains(f",{scope},", autoescape=True)
    return _revoke((_c.user_id == user_id, _c.expires_at > clock.now(), has_it))


def _revoke(which: Sequence[sa.ColumnElement[bool]]) -> int:
    now = clock.now()
    ended = sa.update(ApiToken).where(*which, _c.revoked_at.is_(None))
    return execute_update(ended.values(revoked_at=now, expires_at=now))
