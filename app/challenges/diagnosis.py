"""Find out why a passcode was rejected, for the administrators' timeline only. Users always get the same error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import sqlalchemy as sa

from app import clock
from app.challenges import passcodes
from app.challenges.approvals import OpenApproval
from app.challenges.bindings import binding_matches, binding_params
from app.challenges.models import Challenge, challenge_id_in
from app.client import ClientContext
from app.crypto.encryption import DecryptionError
from app.db.compiled import CompiledStatement, Detached
from app.enrollments.models import Enrollment
from app.extensions import settings

RECENT = timedelta(minutes=30)
"""How far back to look for a passcode's challenge. Nobody types an older code by mistake for a newer one."""

MAX_CHALLENGES = 10
"""Maximum number of challenges to compare. Each costs one key derivation, for unknown and known people alike."""

_ROWS, _CHALLENGES = Detached(Challenge, Enrollment), Detached(Challenge)
_table, _enrolled = Challenge.__table__, Enrollment.__table__
_c = _table.c
_asked_here = sa.case((binding_matches(_c.binding), _c.enrolled_id))
"""Join the enrollment only for challenges from this browser, the only ones that are shown again. Reading more for known
people than for unknown ones would be a timing difference."""

_RECENT = CompiledStatement(
    _ROWS.select()
    .select_from(_table.outerjoin(_enrolled, _enrolled.c.id == _asked_here))
    .where(sa.or_(_c.subject == sa.bindparam("subject"), binding_matches(_c.binding)))
    .where(_c.purpose == sa.bindparam("purpose"), _c.created_at > sa.bindparam("since"))
    .order_by(_c.created_at.desc())
    .limit(2 * MAX_CHALLENGES)
)


@dataclass(frozen=True, slots=True)
class VerificationFailure:
    """The result for a passcode that failed verification.

    :ivar reason: ``wrong_code``, ``older_code``, ``other_browser``, ``budget_spent``, ``expired`` or ``spent``
    :ivar challenge_id: the challenge it was probably meant for, if any
    :ivar here: the newest challenge that this browser requested, for any account, and can still answer, so that a page
        can show it again; also None if it wasn't looked up
    """

    reason: str = "wrong_code"
    challenge_id: str | None = None
    here: OpenApproval | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A failed passcode, and the challenges it was already compared with.

    :ivar methods: methods whose passcodes have its format
    :ivar counted: open challenges that counted this attempt, and were compared with it
    :ivar lost: ids of challenges that it answered after another request had spent them
    """

    purpose: str
    subject: str
    passcode: str | int
    methods: Sequence[str]
    counted: Sequence[Challenge]
    enrolled: Mapping[str, Enrollment]
    lost: Sequence[str] = ()


def diagnose(attempt: Attempt, client: ClientContext) -> VerificationFailure:
    """Return why ``attempt`` failed. One statement and the same work for everyone; none if it can't be a sent code."""
    if not attempt.methods:
        return VerificationFailure()
    which = {"subject": attempt.subject, "purpose": attempt.purpose} | binding_params(client.bindings)
    now = clock.now()
    since = now - max(RECENT, settings.email_code_lifetime, settings.sms_code_lifetime)
    rows = _RECENT.all(**which, since=since)
    asked = [_CHALLENGES.read(row)[0] for row in rows]
    shown = [place for place, each in enumerate(asked) if client.is_bound_to(each.binding) and _is_shown(each, now)]
    again = (
        OpenApproval(*_ROWS.read(rows[shown[0]])) if shown else None
    )  # read just one: challenges of unknown people have no enrollment
    recent = [each for each in asked if _is_like(each, attempt)][:MAX_CHALLENGES]
    named = challenge_id_in(client.challenge_token) if client.challenge_token else None
    here = [each for each in recent if (each.id == named if named else client.is_bound_to(each.binding))]
    roots: dict[str | None, bytes | None] = {}
    meant = [each for each in recent if _fits(each, attempt, roots)]  # derive all others, even after a match
    if not meant:
        return replace(_of_no_challenge(attempt, here), here=again)
    elsewhere = meant[0] not in here and meant[0].spent_at is None  # if spent, signing out ended it
    return VerificationFailure("other_browser" if elsewhere else _why_closed(meant[0], attempt), meant[0].id, again)


def _is_like(challenge: Challenge, attempt: Attempt) -> bool:
    return challenge.subject == attempt.subject and challenge.method in attempt.methods


def _is_shown(challenge: Challenge, now: datetime) -> bool:
    """Return whether a page still asks for this challenge's passcode."""
    return challenge.spent_at is None and challenge.passcode_expires_at > now


def _fits(challenge: Challenge, attempt: Attempt, roots: dict[str | None, bytes | None]) -> bool:
    """Return whether the passcode answers ``challenge``. ``roots`` caches decrypted secrets between calls."""
    if challenge.id in [each.id for each in attempt.counted]:
        return challenge.id in attempt.lost
    of = challenge.enrolled_id
    if of not in roots:
        try:
            roots[of] = passcodes.root_of(challenge, attempt.enrolled.get(of or ""))
        except DecryptionError:
            roots[of] = None
    root = roots[of]
    return root is not None and passcodes.answers(challenge, root, attempt.passcode)


def _of_no_challenge(attempt: Attempt, here: Sequence[Challenge]) -> VerificationFailure:
    """Explain a code that matches no recent challenge; without tries left it wasn't compared at all."""
    if attempt.counted:
        return VerificationFailure("wrong_code", attempt.counted[0].id)
    if not here:
        return VerificationFailure()
    return VerificationFailure("budget_spent" if _is_guessed_out(here[0]) else "wrong_code", here[0].id)


def _why_closed(challenge: Challenge, attempt: Attempt) -> str:
    if attempt.counted and challenge.id not in [each.id for each in attempt.counted]:
        return "older_code"
    if challenge.spent_at is not None or challenge.id in [each.id for each in attempt.counted]:
        return "spent"  # in the second case by a concurrent request
    if challenge.passcode_expires_at <= clock.now():
        return "expired"
    return "budget_spent" if _is_guessed_out(challenge) else "wrong_code"


def _is_guessed_out(challenge: Challenge) -> bool:
    return challenge.spent_at is None and challenge.tries >= settings.challenge_tries
