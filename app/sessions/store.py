"""Create, look up, list and revoke sessions. Only this module handles their cookie and header.

The cookie contains only a random token, and is set only if its row is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from flask import Request, Response, g
from flask_login import user_unauthorized

from app import clock, metrics
from app.audit import signals
from app.client import ClientContext
from app.crypto import secrets
from app.db import has_written, unavailable
from app.db.compiled import CompiledStatement, Detached, detached_from, session_connection, update_detached
from app.extensions import db, execute_update, login_manager, settings
from app.sessions import api_tokens, assurance
from app.sessions.end_hooks import EndedSessions, sessions_ended
from app.sessions.models import ApiToken, AuthSession, PendingSignIn, RefreshToken
from app.users import User
from app.web.cookies import KNOWN, PENDING, rotate_browser_secret, sent_auth_token, sent_cookie, set_cookie
from app.web.csrf import SESSION_COOKIE

SEEN_EVERY = timedelta(minutes=1)
"""Minimum interval between updates of ``seen_at``, so that most requests only read."""

MAX_LISTED = 200
"""Maximum number of sessions and tokens listed. Signing out everywhere includes those not listed."""

_INSERT = CompiledStatement.into(AuthSession.__table__)
_ROWS = Detached(AuthSession, User)
_SESSIONS = Detached(AuthSession)
_c, _given = AuthSession.__table__.c, RefreshToken.__table__.c
_session, _user = AuthSession.__table__, User.__table__
_BY_TOKEN = CompiledStatement(
    _ROWS.select()
    .select_from(_session.join(_user, _user.c.id == _session.c.user_id))
    .where(_session.c.digest == sa.bindparam("digest"), _session.c.kind == "browser")
)
_head = _session.alias("head")
_BY_PROGRAM_TOKEN = CompiledStatement(
    _ROWS.select()
    .select_from(
        _session.join(_user, _user.c.id == _session.c.user_id).join(_head, _head.c.session_id == _session.c.session_id)
    )
    .where(_session.c.digest == sa.bindparam("digest"), _session.c.kind == "program")
    .where(_head.c.kind == "browser", _head.c.revoked_at.is_(None))
)
"""Checks the browser session, so an access token is invalid even if it was issued while that session was revoked."""

_RECORD_USE = CompiledStatement(
    sa.update(_session)
    .where(_c.id == sa.bindparam("session"), _c.seen_at < sa.bindparam("due"))
    .values(assurance.columns_when_seen()),
    autocommit=True,
)


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """A session with the access tokens it issued, which end with it.

    :ivar head: the browser's session; once that has expired, the most recently used access token
    :ivar programs: access tokens that are still valid
    :ivar refreshed_at: when its refresh token was issued or last exchanged; None if it has none
    :ivar refreshes_until: when the refresh token expires
    """

    head: AuthSession
    programs: list[AuthSession]
    refreshed_at: datetime | None = None
    refreshes_until: datetime | None = None


def create_session(
    user: User,
    amr: str,
    client: ClientContext,
    *,
    remember: bool,
    challenge_id: str | None = None,
    browser: str = "",
    notify_owner: bool = False,
    in_cooldown: bool = False,
) -> AuthSession:
    """Sign ``user`` in with a new row and token; set the cookie once the row is stored (ASVS 7.2.4).

    Revokes the browser's previous session.
    :param challenge_id: the challenge that was answered, if any
    :param browser: digest by which the account knows the browser, "" for none
    :param notify_owner: whether to notify the owner of the sign-in
    :param in_cooldown: whether a factor is in its cooldown
    """
    token = secrets.token()
    now = clock.now()
    row = {
        "digest": secrets.digest(token), "session_id": secrets.row_id(), "user_id": user.id, "kind": "browser",
        "amr": amr, "created_at": now, "seen_at": now, "authenticated_at": now,
        "expires_at": now + settings.session_absolute, "persistent": remember, "address": client.ip_address,
        "agent": client.user_agent, "browser": browser or None, "challenge_id": challenge_id, "untold": notify_owner,
        **assurance.initial_columns(amr, now, in_cooldown=in_cooldown),
    }  # fmt: skip
    if previous := current_session():
        revoke_session(previous.session_id)
    rotate_browser_secret(drop_challenges=False)
    _INSERT.run(**row)
    metrics.SESSIONS_OPENED.count_when_kept()
    session = detached_from(AuthSession, row)
    _set_token(token, session)
    g.auth_session, g._login_user = session, user
    return session


def create_api_session(session: AuthSession) -> str:
    """Issue and return an access token for ``session``. The token itself isn't stored."""
    token = secrets.token()
    now = clock.now()
    row = {
        "digest": secrets.digest(token), "session_id": session.session_id, "user_id": session.user_id,
        "kind": "program", "amr": session.amr, "created_at": now, "seen_at": now,
        "authenticated_at": session.authenticated_at,
        "expires_at": min(now + settings.token_max_age, session.expires_at),
        "persistent": False, "address": session.address, "agent": session.agent, "untold": False,
        "proved_amr": session.proved_amr, "proved_at": session.proved_at, "second_at": session.second_at,
    }  # fmt: skip
    _INSERT.run(**row)
    return token


def renew_token(session: AuthSession) -> None:
    """Replace the browser's token for ``session``. The commit invalidates the old one (ASVS 7.2.4)."""
    token = secrets.token()
    execute_update(sa.update(AuthSession).where(AuthSession.id == session.id).values(digest=secrets.digest(token)))
    _set_token(token, session)


def clear_session_cookie(session_id: str) -> None:
    """Invalidate the cookie of a session; its access tokens stay valid."""
    head = (AuthSession.session_id == session_id, AuthSession.kind == "browser")
    execute_update(sa.update(AuthSession).where(*head).values(digest=secrets.digest(secrets.token())))


def revoke_api_clients(session_id: str, *, except_id: int = 0) -> None:
    """Revoke the access tokens of a session, except the one in row ``except_id``; the session stays open."""
    others = (AuthSession.session_id == session_id, AuthSession.kind == "program", AuthSession.id != except_id)
    now = clock.now()
    ended = sa.update(AuthSession).where(*others, AuthSession.revoked_at.is_(None))
    execute_update(ended.values(revoked_at=now, expires_at=now))


def revoke_current_session() -> AuthSession | None:
    """Revoke the session of this request and its tokens; return it, or None if there was none."""
    session = current_session()
    if session is not None:
        revoke_session(session.session_id)
        rotate_browser_secret(drop_challenges=True)
    g.session_cookie = ("", 0)
    g.auth_session, g._login_user = None, login_manager.anonymous_user()
    return session


def find_session(session_id: str) -> AuthSession | None:
    """Return the browser's session with this id, revoked or not; None if it was deleted."""
    found = sa.select(AuthSession).where(AuthSession.session_id == session_id, AuthSession.kind == "browser")
    return db.session.scalars(found).first()


def revoke_session(session_id: str, *, user_id: int | None = None) -> int:
    """Revoke a session and its tokens, effective immediately on every replica; return how many were open.

    :param user_id: id of its user; has no effect if the session belongs to another user
    """
    alive = [AuthSession.session_id == session_id, AuthSession.revoked_at.is_(None)]
    alive += [] if user_id is None else [AuthSession.user_id == user_id]
    now = clock.now()
    ended = execute_update(sa.update(AuthSession).where(*alive).values(revoked_at=now, expires_at=now))
    if ended:
        sessions_ended(EndedSessions(session_id))
    return ended


def report_session(session_id: str) -> bool:
    """Mark a session as reported, revoked or not; return False if it was already reported."""
    unreported = (AuthSession.session_id == session_id, AuthSession.kind == "browser", AuthSession.denied_at.is_(None))
    return execute_update(sa.update(AuthSession).where(*unreported).values(denied_at=clock.now())) == 1


def opened_by(challenge_id: str, since: datetime) -> list[str]:
    """Return the ids of the sessions created with a challenge after ``since``, revoked or not."""
    opened = (AuthSession.challenge_id == challenge_id, AuthSession.created_at > since)
    return list(db.session.scalars(sa.select(AuthSession.session_id).where(*opened)))


def revoke_all_sessions(user_id: int, *, except_id: str = "") -> int:
    """Revoke every session of a user, except the session ``except_id``; return how many were open.

    Also ends pending sign-ins. Session end hooks run even if no session was open, so that what depended on expired
    sessions ends as well.
    """
    others = (AuthSession.user_id == user_id, AuthSession.revoked_at.is_(None), AuthSession.session_id != except_id)
    now = clock.now()
    waiting = (PendingSignIn.user_id == user_id, PendingSignIn.ended_at.is_(None))
    execute_update(sa.update(PendingSignIn).where(*waiting).values(ended_at=now))
    ended = execute_update(sa.update(AuthSession).where(*others).values(revoked_at=now, expires_at=now))
    sessions_ended(EndedSessions(user_id=user_id, except_id=except_id))
    return ended


def sessions_of(user_id: int, *, first: str = "") -> tuple[list[SessionSummary], bool]:
    """Return a user's open sessions, most recently used first, and whether there are more. One statement.

    :param first: id of the session to list first, usually that of the request
    """
    now = clock.now()
    is_refreshable = sa.and_(
        _given.session_id == _c.session_id,
        _c.kind == "browser",
        _given.expires_at > now,
        _given.used_at > now - settings.refresh_idle,
        sa.true() if settings.refresh_tokens else sa.false(),
    )
    alive = (
        _c.user_id == user_id,
        _c.revoked_at.is_(None),
        _c.expires_at > now,
        sa.or_(_c.seen_at > now - settings.session_idle, _given.id.is_not(None)),
    )
    order = (sa.case((_c.session_id == first, 0), else_=1), _c.seen_at.desc(), _c.id.desc())
    joined = _SESSIONS.select().add_columns(_given.used_at, _given.expires_at)
    joined = joined.select_from(_c.id.table.outerjoin(RefreshToken.__table__, is_refreshable))
    found = db.session.execute(joined.where(*alive).order_by(*order).limit(MAX_LISTED + 1)).all()
    by_session: dict[str, list[AuthSession]] = {}
    times: dict[str, tuple[datetime, datetime]] = {}
    for *row, used_at, expires_at in found[:MAX_LISTED]:
        session = _SESSIONS.read(row)[0]
        by_session.setdefault(session.session_id, []).append(session)
        if expires_at is not None:
            times[session.session_id] = used_at, min(expires_at, session.expires_at)
    summaries = [_summary(sessions, *times.get(session_id, ())) for session_id, sessions in by_session.items()]
    return summaries, len(found) > MAX_LISTED


def current_session() -> AuthSession | None:
    """Return the open session that this request sent or created, or None."""
    from flask_login import current_user

    current_user.is_authenticated  # noqa: B018 - has it looked up, once a request
    session: AuthSession | None = g.get("auth_session")
    return session


def is_signed_out_already() -> bool:
    """Return whether a CSRF token was rejected because its session has ended: the sign-out button was pressed twice.

    Without a session, submitting such a form has no effect anyway.
    """
    has_ended = bool(sent_cookie(settings.cookie_prefix + SESSION_COOKIE)) and current_session() is None
    return has_ended and g.get("csrf_fault") in ("csrf_token_invalid", "csrf_session_token_missing")


@user_unauthorized.connect  # type: ignore[untyped-decorator]
def _send_signal(_app: Any, **_more: Any) -> None:
    signals.send(signals.user_unauthenticated)


@login_manager.request_loader  # type: ignore[untyped-decorator]
def load_user(request: Request) -> User | None:
    """Return the user of the request's token or cookie, for Flask-Login. One statement, using a unique index."""
    g.auth_session = None
    auth_token = sent_auth_token()
    token = auth_token or sent_cookie(settings.cookie_prefix + SESSION_COOKIE)
    if not token:
        return None
    kind = "browser" if auth_token is None else "program"
    if kind == "program" and api_tokens.is_api_token(token):
        return _load_api_token(token)
    by_token = _BY_TOKEN if kind == "browser" else _BY_PROGRAM_TOKEN
    found = by_token.first_without_session(digest=secrets.digest(token))
    if found is None:
        return None
    user: User
    session, user = _ROWS.read(found)
    now = clock.now()
    if not session.is_alive(now) or not user.is_active:
        return None
    record_use(session, now)
    if session.second_at is not None and assurance.level(session, now) == 1:
        update_detached(session, second_at=None)  # affects only what this request writes and returns
    g.auth_session = session
    g.auth_token = token if kind == "program" else ""
    return user


def set_binding_cookie(secret: str) -> None:
    """Add the secret of a new challenge to the browser's cookie."""
    g.challenge_secret = secret


def set_pending_cookie(token: str, life: timedelta) -> None:
    """Set the cookie of the pending sign-in for ``life``; "" clears it."""
    g.pending_cookie = (token, int(life.total_seconds()) if token else 0)


def set_session_cookie(response: Response) -> Response:
    """Set the session, known-browser and pending sign-in cookies, unless the commit failed (``after_request``)."""
    if g.get("commit_failed") or response.status_code >= 500:
        return response
    for name, kept in ((SESSION_COOKIE, "session_cookie"), (KNOWN, "known_cookie"), (PENDING, "pending_cookie")):
        if cookie := g.get(kept):
            value, max_age = cookie
            set_cookie(response, name, value, max_age)
    return response


def _load_api_token(token: str) -> User | None:
    """Return the user of an API token. Scopes are checked before each view."""
    found = api_tokens.find(token)
    if found is None:
        return None
    row, user = found
    record_token_use(row, g.get("client_address", ""))
    g.auth_session, g.auth_token, g.token_scopes = api_tokens.session_for(row), token, row.scopes.split(",")
    return user


def _set_token(token: str, session: AuthSession) -> None:
    max_age = int((session.expires_at - clock.now()).total_seconds()) if session.persistent else None
    g.session_cookie = (token, max_age)


def record_use(session: AuthSession, now: datetime) -> None:
    """Record the use of a session, at most once a minute."""
    if now - session.seen_at <= SEEN_EVERY:
        return
    idle_since = now - settings.two_factor_idle
    _run_in_own_transaction(_RECORD_USE, session=session.id, due=now - SEEN_EVERY, now=now, idle_since=idle_since)


def record_token_use(row: ApiToken, address: str) -> None:
    """Record the use of an API token and the network address, at most once a minute."""
    now = clock.now()
    if row.last_used_at is None or now - row.last_used_at > SEEN_EVERY:
        values = {"token": row.id, "due": now - SEEN_EVERY, "now": now, "address": address}
        _run_in_own_transaction(api_tokens.RECORD_USE, **values)


def _run_in_own_transaction(statement: CompiledStatement, **values: Any) -> None:
    """Record a use in a separate transaction, unless this one has written. The request continues if that fails."""
    if has_written(session_connection()):
        return
    try:
        statement.run(**values)
    except Exception as error:
        if not unavailable(error) or getattr(error, "connection_invalidated", False):
            raise  # the connection is lost: don't wait for the database again
        db.session.rollback()


def _summary(sessions: list[AuthSession], *refreshed: datetime) -> SessionSummary:
    programs = [session for session in sessions if session.kind == "program"]
    browsers = [session for session in sessions if session.kind == "browser"]
    return SessionSummary((browsers or programs)[0], programs, *refreshed)


def count_sessions() -> int:
    """Return the number of open browser sessions. Scans the whole table, so call it only occasionally."""
    alive = (AuthSession.kind == "browser", AuthSession.expires_at > clock.now(), AuthSession.revoked_at.is_(None))
    return db.session.scalar(sa.select(sa.func.count()).select_from(AuthSession).where(*alive)) or 0
