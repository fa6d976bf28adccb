"""A user's sessions, for the owner to see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app import clock
from app.db.compiled import Detached
from app.extensions import db, settings
from app.sessions.models import AuthSession, RefreshToken

MOST = 200
"""Sessions and tokens that are listed at once; ending all others ends those too that no list shows."""

_ROWS = Detached(AuthSession)
_c, _given = AuthSession.__table__.c, RefreshToken.__table__.c


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """A session with the program tokens it gave, which end with it.

    :ivar head: the browser's session; where that has ended by itself, the token that was used last
    :ivar programs: tokens of programs that still hold
    :ivar refreshed_at: when a program last exchanged its refresh token; None when none has one
    :ivar refreshes_until: how long it can go on like that
    """

    head: AuthSession
    programs: list[AuthSession]
    refreshed_at: datetime | None = None
    refreshes_until: datetime | None = None


def sessions_of(user_id: int, *, first: str = "") -> tuple[list[SessionSummary], bool]:
    """Return the living sessions of a user, used last first, and whether there are more. One statement.

    :param first: the id of the session to list before all others: the one that asks
    """
    now = clock.now()
    goes_on = sa.and_(
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
    joined = _ROWS.select().add_columns(_given.used_at, _given.expires_at)
    joined = joined.select_from(_c.id.table.outerjoin(RefreshToken.__table__, goes_on))
    found = db.session.execute(joined.where(*alive).order_by(*order).limit(MOST + 1)).all()
    by_session: dict[str, list[AuthSession]] = {}
    times: dict[str, tuple[datetime, datetime]] = {}
    for *row, used_at, expires_at in found[:MOST]:
        session = _ROWS.read(row)[0]
        by_session.setdefault(session.session_id, []).append(session)
        if expires_at is not None:
            times[session.session_id] = used_at, min(expires_at, session.expires_at)
    summaries = [_summary(sessions, *times.get(session_id, ())) for session_id, sessions in by_session.items()]
    return summaries, len(found) > MOST


def _summary(sessions: list[AuthSession], *refreshed: datetime) -> SessionSummary:
    programs = [session for session in sessions if session.kind == "program"]
    browsers = [session for session in sessions if session.kind == "browser"]
    return SessionSummary((browsers or programs)[0], programs, *refreshed)
