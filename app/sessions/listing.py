"""Who is signed in to an account, for its owner to look at."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from app.database.plain import Plain
from app.extensions import db, settings
from app.kit import clock
from app.sessions.models import AuthSession

MOST = 200
"""Sessions and tokens that are listed at once; ending all others ends those too that no list shows."""

_ROWS = Plain(AuthSession)
_c = AuthSession.__table__.c


@dataclass(frozen=True, slots=True)
class Family:
    """A session with the program tokens it gave, which end with it.

    :ivar head: the browser's session; where that has ended by itself, the token that was used last
    :ivar programs: tokens of programs that still hold
    """

    head: AuthSession
    programs: list[AuthSession]


def families_of(user_id: int, *, first: str = "") -> tuple[list[Family], bool]:
    """Return the living sessions of a user, used last first, and whether there are more. One statement.

    :param first: the family that comes before all others: the one that asks
    """
    now = clock.now()
    alive = (
        _c.user_id == user_id,
        _c.revoked_at.is_(None),
        _c.expires_at > now,
        _c.seen_at > now - settings.session_idle,
    )
    order = (sa.case((_c.family == first, 0), else_=1), _c.seen_at.desc(), _c.id.desc())
    found = db.session.execute(_ROWS.select().where(*alive).order_by(*order).limit(MOST + 1)).all()
    by_family: dict[str, list[AuthSession]] = {}
    for row in found[:MOST]:
        session = _ROWS.read(row)[0]
        by_family.setdefault(session.family, []).append(session)
    return [_family(sessions) for sessions in by_family.values()], len(found) > MOST


def _family(sessions: list[AuthSession]) -> Family:
    programs = [session for session in sessions if session.kind == "program"]
    browsers = [session for session in sessions if session.kind == "browser"]
    return Family((browsers or programs)[0], programs)
