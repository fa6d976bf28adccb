"""Trusted devices: browsers, and programs, in which the second step is skipped for a while.

Trust stands on the row by which a browser is known to an account (ADR 10), and goes when that row is revoked. It stands
in for the second step alone: the first proof is given each time, and the session counts as one of one factor.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.extensions import changed, db, settings
from app.kit import clock, secrets
from app.sessions.guesses import row_id
from app.sessions.models import Standing
from app.sessions.opening import known_digest
from app.users import subject_of

_NOT_REVOKED = Standing.revoked_at.is_(None)


def trust_browser(user_id: int) -> datetime | None:
    """Trust the browser that this request has just made known to the account; return until when.

    None when trusting is switched off (``LATCHKEY_TRUST_FOR=0``), or it is no browser.
    """
    digest = known_digest()
    if not settings.trust_for or not digest:
        return None
    until = clock.now() + settings.trust_for
    mine = (Standing.id == _row(user_id, digest), _NOT_REVOKED)
    return until if changed(sa.update(Standing).where(*mine).values(trusted_until=until)) else None


def trust_program(user_id: int, agent: str) -> str:
    """Trust a program that keeps no cookies; return the token that it brings next time. Only its digest is stored."""
    token, now = secrets.token(), clock.now()
    digest = secrets.digest(token)
    row: dict[str, Any] = {"id": _row(user_id, digest), "user_id": user_id, "browser": digest, "agent": agent}
    row |= {"first_seen_at": now, "last_seen_at": now, "touched_at": now, "trusted_until": now + settings.trust_for}
    db.session.execute(sa.insert(Standing).values(**row))
    return token


def use_trust(user_id: int, digest: str) -> bool:
    """Say whether this account trusts the browser or program with this digest now; it was used, then. One statement."""
    if not settings.trust_for or not digest:
        return False
    now = clock.now()
    trusted = (Standing.id == _row(user_id, digest), _NOT_REVOKED, Standing.trusted_until > now)
    return changed(sa.update(Standing).where(*trusted).values(last_seen_at=now, touched_at=now)) == 1


def distrust(user_id: int, *, but: str = "") -> int:
    """Skip the second step nowhere any more, except where the digest is ``but``; return how many were trusted."""
    trusted = (Standing.user_id == user_id, Standing.trusted_until.is_not(None), Standing.browser != but)
    return changed(sa.update(Standing).where(*trusted).values(trusted_until=None))


def distrust_one(user_id: int, row: str) -> int:
    """Skip the second step in this browser no more, which stays known; return 0 when it was not trusted.

    :param row: id of its row; one of another account is none
    """
    trusted = (Standing.id == row, Standing.user_id == user_id, Standing.trusted_until.is_not(None))
    return changed(sa.update(Standing).where(*trusted).values(trusted_until=None))


def _row(user_id: int, digest: str) -> str:
    return row_id(subject_of(user_id, ""), digest)
