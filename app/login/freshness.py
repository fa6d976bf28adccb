"""Freshness: how recently, and with how strong a method, the user of a session was verified."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from app import clock
from app.authenticators.assurance import AssuranceLevels, assurance_levels_of
from app.authenticators.enrollments import enrolled_of
from app.authenticators.presenters import methods_text
from app.db.compiled import update_detached
from app.enrollments.methods import WEAK, method_of
from app.errors import ReauthenticationRequired
from app.extensions import db, execute_update, settings
from app.sessions import assurance
from app.sessions.models import AuthSession


def require_fresh(session: AuthSession | None) -> None:
    """Require that the user of ``session`` was verified recently and strongly enough (ASVS 7.5.1, 7.5.3).

    Recently means within ``LATCHKEY_FRESHNESS``. Strongly enough means as strong as the strongest method they have set
    up, unless ``LATCHKEY_FRESHNESS_STRENGTH`` is ``any``. Looking that up takes one statement.

    A fresh request may start a grace period (``LATCHKEY_FRESHNESS_GRACE_PERIOD``). It's committed immediately, since
    requests that only read start one, too. A grace period never extends itself.
    :raises ReauthenticationRequired: if there is no such verification
    """
    now = clock.now()
    if session is None or session.kind == "personal":
        raise ReauthenticationRequired
    if not session.is_in_grace(now):
        _require_verification(session, now)
    grace = settings.freshness_grace_period
    if grace and (session.grace_until is None or session.grace_until < now):
        until = now + grace
        opened = sa.update(AuthSession).where(AuthSession.id == session.id).values(grace_until=until)
        db.session.execute(opened.execution_options(autocommit=True, synchronize_session=False))
        update_detached(session, grace_until=until)


def require_recent(session: AuthSession | None) -> None:
    """Require that the user of ``session`` was verified recently, by any of their methods.

    For changes that only add something: a method added after a weaker verification gets a cooldown. Starts no grace
    period.
    :raises ReauthenticationRequired: if there is no such verification
    """
    now = clock.now()
    if session is None or session.kind == "personal":
        raise ReauthenticationRequired
    if not session.is_in_grace(now) and not assurance.is_recent(session.authenticated_at, now):
        strengths = assurance_levels_of(enrolled_of(session.user_id))
        raise _required([*strengths.enough, *strengths.weaker])


def missing_verification(session: AuthSession, strengths: AssuranceLevels) -> list[str]:
    """Return the methods that are strong enough for the verification that a sensitive change still needs.

    Return [] if ``session`` needs no further verification, or all of the user's methods are strong enough.
    :param strengths: the levels of the methods that the user has set up
    """
    now = clock.now()
    is_verified = assurance.is_recent(session.proved_at, now) and strengths.satisfied_by(session.proved_amr or "")
    return [] if is_verified or session.is_in_grace(now) or not strengths.weaker else strengths.enough


def freshen(session: AuthSession, amr: str, *, in_cooldown: bool = False) -> None:
    """Record that the user of ``session`` was just verified.

    :param amr: the method, in the format of ``amr``: ``authenticator``, or ``webauthn,uv``
    :param in_cooldown: whether it's in its cooldown, and only as strong as an emailed code
    """
    changes = assurance.columns_after_verification(session, amr, clock.now(), in_cooldown=in_cooldown)
    execute_update(sa.update(AuthSession).where(AuthSession.id == session.id).values(**changes))
    update_detached(session, **changes)


def _require_verification(session: AuthSession, now: datetime) -> None:
    strengths = assurance_levels_of(enrolled_of(session.user_id))
    lately = assurance.is_recent(session.authenticated_at, now)
    if assurance.is_recent(session.proved_at, now):
        lately, is_verified = True, strengths.satisfied_by(session.proved_amr or "")
    else:
        is_verified = lately and strengths.required <= WEAK and not strengths.second_factors
    if not is_verified:
        raise _required(strengths.enough, too_weak=lately, said_as=methods_text(strengths.enough))


def _required(names: Sequence[str], *, too_weak: bool = False, said_as: str = "") -> ReauthenticationRequired:
    has_passkey = any(not method_of(name).is_typed for name in names)
    return ReauthenticationRequired(names, too_weak=too_weak, said_as=said_as, has_passkey=has_passkey)
