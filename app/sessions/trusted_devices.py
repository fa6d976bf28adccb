"""Trusted devices: the second step is skipped there for a while.

Trust stands on the row by which a browser is known to an account (ADR 10), and goes when that row is revoked. It stands
in for the second step alone: the first proof is given each time, and the session counts as one of one factor.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app import clock
from app.crypto import secrets
from app.extensions import changed, db, settings
from app.sessions.cookies import known_here, note_known_here, set_known_cookie
from app.sessions.known_devices import LIFE
from app.throttling.by_account import row_id
from app.throttling.models import FailureCounter
from app.users import subject_of

_NOT_REVOKED = FailureCounter.revoked_at.is_(None)


def trust_browser(user_id: int) -> datetime | None:
    """Trust the browser that this request has just made known to the account; return until when.

    The account knows it by another secret from now on: whoever has copied the one so far is not trusted.
    None when trusting is switched off (``LATCHKEY_TRUST_FOR=0``), or it is no browser.
    """
    before = known_here()
    if not settings.trust_for or not before:
        return None
    secret, until = secrets.token(), clock.now() + settings.trust_for
    digest = secrets.digest(secret)
    mine = (FailureCounter.id == _row(user_id, before), _NOT_REVOKED)
    renewed = {"id": _row(user_id, digest), "browser": digest, "trusted_until": until}
    if not changed(sa.update(FailureCounter).where(*mine).values(**renewed)):
        return None
    note_known_here(set_known_cookie(secret, LIFE, instead_of=before))
    return until


def trust_program(user_id: int, agent: str) -> str:
    """Trust a program that keeps no cookies; return the token that it brings next time. Only its digest is stored."""
    token, now = secrets.token(), clock.now()
    digest = secrets.digest(token)
    row: dict[str, Any] = {"id": _row(user_id, digest), "user_id": user_id, "browser": digest, "agent": agent}
    row |= {"first_seen_at": now, "last_seen_at": now, "touched_at": now, "trusted_until": now + settings.trust_for}
    db.session.execute(sa.insert(FailureCounter).values(**row))
    return token


def use_trust(user_id: int, digests: Collection[str]) -> bool:
    """Say whether this account trusts who has one of these digests now; it was used, then. One statement."""
    if not settings.trust_for or not digests:
        return False
    now = clock.now()
    rows = [_row(user_id, digest) for digest in digests]
    trusted = (FailureCounter.id.in_(rows), _NOT_REVOKED, FailureCounter.trusted_until > now)
    return changed(sa.update(FailureCounter).where(*trusted).values(last_seen_at=now, touched_at=now)) == 1


def revoke_trust(user_id: int, *, but: Collection[str] = ()) -> int:
    """Skip the second step nowhere any more, except where a digest of ``but`` is; return how many were trusted."""
    trusted = (
        FailureCounter.user_id == user_id,
        FailureCounter.trusted_until.is_not(None),
        FailureCounter.browser.not_in(but),
    )
    return changed(sa.update(FailureCounter).where(*trusted).values(trusted_until=None))


def revoke_one_trust(user_id: int, row: str) -> int:
    """Skip the second step in this browser no more, which stays known; return 0 when it was not trusted.

    :param row: id of its row; one of another account is none
    """
    trusted = (FailureCounter.id == row, FailureCounter.user_id == user_id, FailureCounter.trusted_until.is_not(None))
    return changed(sa.update(FailureCounter).where(*trusted).values(trusted_until=None))


def _row(user_id: int, digest: str) -> str:
    return row_id(subject_of(user_id, ""), digest)
