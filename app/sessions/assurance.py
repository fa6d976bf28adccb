"""The assurance level of a session, and how long two factors count as two.

Proofs are named as in ``auth_session.amr``: methods joined by commas, and ``uv`` for a passkey that has asked its
holder for a PIN, a finger or a face. Figures and reasons: ADR 18.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.extensions import settings
from app.sessions.models import AuthSession

WEAK, STRONG, STRONGEST = 1, 2, 3
"""What a proof is worth: a code that is sent, or a password; what only a device has; what a device has and asks for."""

_STRENGTHS = {"authenticator": STRONG, "webauthn": STRONG, "recovery_code": STRONGEST}
_VERIFIED = "uv"
HELD = "held"
"""Stands in ``proved_amr`` for a proof by a method that is in its cooldown, and is worth as much as a mailed code."""

_SAME_KIND = {"confirm": "email"}
"""Proofs under another name: confirming an address is reading its mail."""


def strength_of(amr: str | Iterable[str]) -> int:
    """Return what the best of these proofs is worth, 1 to 3; 0 for none.

    A recovery code is worth as much as anything: it is what people keep for the day when all else is lost.
    """
    names = _names(amr)
    if "webauthn" in names and _VERIFIED in names:
        return STRONGEST
    return max((_STRENGTHS.get(name, WEAK) for name in names), default=0)


def is_two_factor(amr: str | Iterable[str]) -> bool:
    """Whether these proofs are two: of two kinds, or a passkey that knows its holder."""
    names = _names(amr)
    kinds = {_SAME_KIND.get(name, name) for name in names} - {_VERIFIED}
    return len(kinds) > 1 or {"webauthn", _VERIFIED} <= names


def two_factors_until(session: AuthSession, now: datetime) -> datetime | None:
    """Return when the two-factor rights of ``session`` end however much it is used; None when it has none."""
    if session.second_at is None or level(session, now) < 2:
        return None
    return min(session.second_at + settings.two_factor_absolute, session.expires_at)


def level(session: AuthSession, now: datetime) -> int:
    """Return 2 while ``session`` has two-factor rights, else 1 (NIST SP 800-63B, section 2.2.3).

    They end 24 hours after the proof that gave them, and when the session was not used for one; it goes on with one
    factor then. What has ended by not being used stays ended: it is written down together with ``seen_at``.
    """
    given = session.second_at
    lasts = given is not None and now < given + settings.two_factor_absolute
    return 2 if lasts and now < session.seen_at + settings.two_factor_idle else 1


def seen(now: datetime) -> dict[str, Any]:
    """Return the columns that change when a session is seen: after too long unused, its two-factor rights go."""
    c = AuthSession.__table__.c
    unused = c.seen_at <= now - settings.two_factor_idle
    return {"seen_at": now, "second_at": sa.case((unused, sa.null()), else_=c.second_at)}


def opened_with(amr: str, now: datetime, *, held: bool = False) -> dict[str, Any]:
    """Return the columns of a session that these proofs open.

    :param held: whether one of them is by a method in its cooldown: then they are no two factors
    """
    second_at = now if is_two_factor(amr) and not held else None
    return {"proved_amr": HELD if held else amr, "proved_at": now, "second_at": second_at}


def proved_again(session: AuthSession, proof: str, now: datetime, *, held: bool = False) -> dict[str, Any]:
    """Return the columns that ``proof`` changes in ``session``.

    A weaker proof does not take the place of a stronger one that still counts. Two-factor rights begin when it makes
    the session one of two factors; and begin anew when it is as strong as the best that the session was proved by.
    :param proof: names joined by commas, as ``webauthn,uv``
    :param held: whether it is by a method in its cooldown
    """
    amr = ",".join(dict.fromkeys([*session.amr.split(","), *proof.split(",")]))
    changes: dict[str, Any] = {"authenticated_at": now, "seen_at": now, "amr": amr, "second_at": session.second_at}
    counts_as = HELD if held else proof
    if strength_of(counts_as) >= strength_of(session.proved_amr or "") or not is_recent(session.proved_at, now):
        changes |= {"proved_amr": counts_as, "proved_at": now}
    if held:
        return changes
    had_two = is_two_factor(session.amr)
    if is_two_factor(amr) and (not had_two or strength_of(proof) >= strength_of(session.amr)):
        changes["second_at"] = now
    return changes


def is_recent(proved_at: datetime | None, now: datetime) -> bool:
    """Whether a proof from then still counts as fresh."""
    return proved_at is not None and now < proved_at + settings.freshness


def _names(amr: str | Iterable[str]) -> set[str]:
    return {name for name in (amr.split(",") if isinstance(amr, str) else amr) if name}
