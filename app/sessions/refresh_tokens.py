"""Refresh tokens: each can be exchanged once, for an access token and the next refresh token.

All tokens in a rotation share one row. An exchange is one conditional UPDATE, from the digest of this token to that of
the next. If a token is used twice, it was copied, and there's no telling which client is legitimate, so the session is
revoked (RFC 9700, section 4.14.2).
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite supports this INSERT, too

from app import clock
from app.crypto import secrets
from app.db.compiled import Detached, update_detached
from app.extensions import db, execute_update, settings
from app.sessions.models import AuthSession, RefreshToken
from app.sessions.store import create_api_session, revoke_session
from app.users import User

ID_LENGTH = 22
"""Number of characters of a token that identify its row: 128 bits."""

VERIFICATION_COLUMNS = ("amr", "authenticated_at", "proved_amr", "proved_at", "second_at")
"""Columns that record how a session was verified. An access token gets their values from its refresh token."""

_table = RefreshToken.__table__
_c = _table.c
_ROWS = Detached(AuthSession, User)
_head, _user = AuthSession.__table__, User.__table__
_active = (
    _head.c.kind == "browser",
    _head.c.revoked_at.is_(None),
    _head.c.expires_at > sa.bindparam("now"),
    _user.c.disabled_at.is_(None),
    _user.c.deletes_at.is_(None),
)
_is_open = sa.exists().where(_head.c.session_id == _c.session_id, _user.c.id == _head.c.user_id, *_active)
_EXCHANGE = (
    sa.update(_table)
    .where(_c.id == sa.bindparam("row"), _c.digest == sa.bindparam("old"), _c.expires_at > sa.bindparam("now"))
    .where(_c.used_at > sa.bindparam("unused"), _is_open)
    .values(
        digest=sa.bindparam("new"),
        used_at=sa.bindparam("now"),
        second_at=sa.case((_c.used_at <= sa.bindparam("one_factor"), sa.null()), else_=_c.second_at),
    )
    .returning(_c.session_id, *(_c[name] for name in VERIFICATION_COLUMNS))
)
_HEAD = (
    _ROWS.select()
    .select_from(_head.join(_user, _user.c.id == _head.c.user_id))
    .where(_head.c.session_id == sa.bindparam("session_id"), *_active)
)


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The result of an exchange. Neither token is stored.

    :ivar expires_in: lifetime of ``access`` in seconds
    """

    user: User
    access: str
    refresh: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class Reused:
    """The result if a token was used a second time. Its session was revoked."""

    user_id: int
    session_id: str


def issue(session: AuthSession) -> str:
    """Issue and return a refresh token for ``session``. The token itself isn't stored.

    It replaces the session's previous refresh token.
    """
    id_part = secrets.letters(16)
    token = secrets.prefixed_token(secrets.REFRESH_PREFIX + id_part)
    now = clock.now()
    row = {
        "id": secrets.digest(id_part), "digest": secrets.digest(token), "session_id": session.session_id,
        "user_id": session.user_id, "created_at": now, "used_at": now, "expires_at": now + settings.refresh_absolute,
    } | {name: getattr(session, name) for name in VERIFICATION_COLUMNS}  # fmt: skip
    given = insert(RefreshToken).values(row)
    newer = {column: given.excluded[column] for column in row if column not in ("session_id", "user_id")}
    execute_update(given.on_conflict_do_update(index_elements=[_c.session_id], set_=newer))
    return token


def exchange(token: str) -> Exchanged | Reused | None:
    """Exchange a refresh token; return None if it isn't ours, has expired, or its session was revoked.

    Three statements. Only one of several concurrent uses succeeds, on any number of servers.
    """
    if not settings.refresh_tokens or not secrets.has_prefix(token, secrets.REFRESH_PREFIX, ID_LENGTH):
        return None
    now = clock.now()
    id_part = _id_in(token)
    new = secrets.prefixed_token(secrets.REFRESH_PREFIX + id_part)
    values = {
        "row": secrets.digest(id_part), "old": secrets.digest(token), "new": secrets.digest(new), "now": now,
        "unused": now - settings.refresh_idle, "one_factor": now - settings.two_factor_idle,
    }  # fmt: skip
    found = db.session.execute(_EXCHANGE, values).first()
    if found is None:
        return _reused(token)
    row = db.session.execute(_HEAD, {"session_id": found[0], "now": now}).first()
    if row is None:
        return None  # revoked between the two statements
    session, user = _ROWS.read(row)
    update_detached(session, **dict(zip(VERIFICATION_COLUMNS, found[1:], strict=True)))
    access = create_api_session(session)
    life = min(settings.token_max_age, session.expires_at - now)
    return Exchanged(user, access, new, int(life.total_seconds()))


def revoke(session_id: str) -> None:
    """Revoke the refresh token of a session; the session stays open.

    Call this before revoking the session's access tokens: it waits for any exchange in progress, so that the token it
    issues is revoked, too.
    """
    execute_update(sa.delete(RefreshToken).where(RefreshToken.session_id == session_id))


def revoke_session_of(token: str) -> int | None:
    """Revoke the session that issued a refresh token, whether or not the token has been exchanged.

    :return: id of the session's user; None if it was already revoked, or the token isn't ours
    """
    if not secrets.has_prefix(token, secrets.REFRESH_PREFIX, ID_LENGTH):
        return None
    found = _row_of(token)
    return found.user_id if found is not None and revoke_session(found.session_id) else None


def _reused(token: str) -> Reused | None:
    found = _row_of(token)
    if found is None or secrets.same(found.digest, secrets.digest(token)) or not revoke_session(found.session_id):
        return None
    return Reused(found.user_id, found.session_id)


def _row_of(token: str) -> sa.Row[tuple[str, str, int]] | None:
    named = _c.id == secrets.digest(_id_in(token))
    return db.session.execute(sa.select(_c.session_id, _c.digest, _c.user_id).where(named)).first()


def _id_in(token: str) -> str:
    return token[len(secrets.REFRESH_PREFIX) :][:ID_LENGTH]
