"""Freshness: how recently, and how strongly, the user behind a session was verified."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from app import clock
from app.authenticators.assurance import AssuranceLevels, assurance_levels_of
from app.authenticators.enrollments import enrolled_of
from app.authenticators.presenters import means_text
from app.db.compiled import note
from app.enrollments.catalog import WEAK, method_of
from app.errors import ReauthenticationRequired
from app.extensions import changed, db, settings
from app.sessions import assurance
from app.sessions.models import AuthSession


def require_fresh(session: AuthSession | None) -> None:
    """Go on only if the person behind ``session`` proved it of late, and as strongly as they can (ASVS 7.5.1, 7.5.3).

    Of late is ``LATCHKEY_FRESHNESS``; as strongly as they can is by a proof worth as much as the strongest method
    they have set up, unless ``LATCHKEY_FRESHNESS_STRENGTH`` is ``any``. One statement looks what that is.
    A fresh request may open a grace (``LATCHKEY_FRESHNESS_GRACE_PERIOD``), reading ones too, so it is written at
    once; the grace never extends itself.
    :raises ReauthenticationRequired: when there is no such proof
    """
    now = clock.now()
    if session is None or session.kind == "personal":
        raise ReauthenticationRequired
    if not session.is_in_grace(now):
        _require_proof(session, now)
    grace = settings.freshness_grace_period
    if grace and (session.grace_until is None or session.grace_until < now):
        until = now + grace
        opened = sa.update(AuthSession).where(AuthSession.id == session.id).values(grace_until=until)
        db.session.execute(opened.execution_options(at_once=True, synchronize_session=False))
        note(session, grace_until=until)


def require_recent(session: AuthSession | None) -> None:
    """Go on only if the person behind ``session`` has proved it of late, by any of their methods.

    For what only adds: a method that a weaker proof adds has a cooldown (``cooldown``). It opens no grace.
    :raises ReauthenticationRequired: when there is no such proof
    """
    now = clock.now()
    if session is None or session.kind == "personal":
        raise ReauthenticationRequired
    if not session.is_in_grace(now) and not assurance.is_recent(session.authenticated_at, now):
        strengths = assurance_levels_of(enrolled_of(session.user_id))
        raise _required([*strengths.enough, *strengths.weaker])


def missing_proof(session: AuthSession, strengths: AssuranceLevels) -> list[str]:
    """Return by which methods ``session`` has to be proved before a sensitive step; [] where any of them will do.

    :param strengths: of what its owner has set up
    """
    now = clock.now()
    proved = assurance.is_recent(session.proved_at, now) and strengths.satisfied_by(session.proved_amr or "")
    return [] if proved or session.is_in_grace(now) or not strengths.weaker else strengths.enough


def freshen(session: AuthSession, proof: str, *, held: bool = False) -> None:
    """Note that the person behind ``session`` has just proved it.

    :param proof: by what, in the manner of ``amr``: ``authenticator``, or ``webauthn,uv``
    :param held: whether that is in its cooldown, and counts no more than a mailed code
    """
    changes = assurance.proved_again(session, proof, clock.now(), held=held)
    changed(sa.update(AuthSession).where(AuthSession.id == session.id).values(**changes))
    note(session, **changes)


def _require_proof(session: AuthSession, now: datetime) -> None:
    strengths = assurance_levels_of(enrolled_of(session.user_id))
    lately = assurance.is_recent(session.authenticated_at, now)
    if assurance.is_recent(session.proved_at, now):
        lately, proved = True, strengths.satisfied_by(session.proved_amr or "")
    else:
        proved = lately and strengths.wanted <= WEAK and not strengths.asked
    if not proved:
        raise _required(strengths.enough, too_weak=lately, said_as=means_text(strengths.enough))


def _required(names: Sequence[str], *, too_weak: bool = False, said_as: str = "") -> ReauthenticationRequired:
    has_passkey = any(not method_of(name).is_typed for name in names)
    return ReauthenticationRequired(names, too_weak=too_weak, said_as=said_as, has_passkey=has_passkey)
