"""The assurance level of a session, and how long it keeps the rights of two factors.

Verified factors are given as in ``auth_session.amr``: comma-separated methods, and ``uv`` for a passkey with user
verification. ADR 18 has the durations and the rationale.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.enrollments.methods import STRONGEST, method_behind, method_of
from app.extensions import settings
from app.sessions.models import AuthSession

_VERIFIED = "uv"
IN_COOLDOWN = "held"
"""Stored in ``proved_amr`` for a method in its cooldown, which is only as strong as an emailed code."""


def strength_of(amr: str | Iterable[str]) -> int:
    """Return the strength of the strongest factor, 1 to 3; 0 without factors."""
    names = _names(amr)
    if _is_user_verified(names):
        return STRONGEST
    return max((method_of(name).strength for name in names), default=0)


def is_two_factor(amr: str | Iterable[str]) -> bool:
    """Return whether these are two factors: two methods, or a passkey with user verification."""
    names = _names(amr)
    kinds = {method_behind(name) for name in names} - {_VERIFIED}
    return len(kinds) > 1 or _is_user_verified(names)


def _is_user_verified(names: set[str]) -> bool:
    return _VERIFIED in names and any(method_of(name).verifies_user for name in names)


def two_factors_until(session: AuthSession, now: datetime) -> datetime | None:
    """Return the latest time at which the two-factor rights of ``session`` end; None if it has none."""
    if session.second_at is None or level(session, now) < 2:
        return None
    return min(session.second_at + settings.two_factor_absolute, session.expires_at)


def level(session: AuthSession, now: datetime) -> int:
    """Return 2 while ``session`` has two-factor rights, else 1 (NIST SP 800-63B, section 2.2.3).

    They end 24 hours after the verification that granted them, or when the session is idle for
    ``LATCHKEY_TWO_FACTOR_IDLE``. After that the session counts as single-factor. Idle expiry is permanent, since it's
    stored together with ``seen_at``.
    """
    given = session.second_at
    lasts = given is not None and now < given + settings.two_factor_absolute
    return 2 if lasts and now < session.seen_at + settings.two_factor_idle else 1


def columns_when_seen() -> dict[str, Any]:
    """Return the columns to update when a session is used, for a ``CompiledStatement``.

    Clears its two-factor rights if it was last used before ``idle_since``; the other parameter is ``now``.
    """
    c = AuthSession.__table__.c
    unused = c.seen_at <= sa.bindparam("idle_since")
    return {"seen_at": sa.bindparam("now"), "second_at": sa.case((unused, sa.null()), else_=c.second_at)}


def initial_columns(amr: str, now: datetime, *, in_cooldown: bool = False) -> dict[str, Any]:
    """Return the columns for a session created with these factors.

    :param in_cooldown: whether one of them is in its cooldown, so that they don't count as two factors
    """
    second_at = now if is_two_factor(amr) and not in_cooldown else None
    return {"proved_amr": IN_COOLDOWN if in_cooldown else amr, "proved_at": now, "second_at": second_at}


def columns_after_verification(
    session: AuthSession, factor: str, now: datetime, *, in_cooldown: bool = False
) -> dict[str, Any]:
    """Return the columns of ``session`` to update after a verification with ``factor``.

    A weaker factor doesn't replace a stronger one that is still fresh. Two-factor rights start when the session gets
    its second factor, and are renewed by a factor at least as strong as the session's strongest.
    :param factor: comma-separated names, such as ``webauthn,uv``
    :param in_cooldown: whether the method is in its cooldown
    """
    amr = ",".join(dict.fromkeys([*session.amr.split(","), *factor.split(",")]))
    changes: dict[str, Any] = {"authenticated_at": now, "seen_at": now, "amr": amr, "second_at": session.second_at}
    counts_as = IN_COOLDOWN if in_cooldown else factor
    if strength_of(counts_as) >= strength_of(session.proved_amr or "") or not is_recent(session.proved_at, now):
        changes |= {"proved_amr": counts_as, "proved_at": now}
    if in_cooldown:
        return changes
    had_two = is_two_factor(session.amr)
    if is_two_factor(amr) and (not had_two or strength_of(factor) >= strength_of(session.amr)):
        changes["second_at"] = now
    return changes


def is_recent(verified_at: datetime | None, now: datetime) -> bool:
    """Return whether a verification at that time still counts as fresh."""
    return verified_at is not None and now < verified_at + settings.freshness


def _names(amr: str | Iterable[str]) -> set[str]:
    return {name for name in (amr.split(",") if isinstance(amr, str) else amr) if name}
