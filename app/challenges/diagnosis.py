"""Find out why a passcode was rejected, for the administrators' timeline only. Users always get the same error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import sqlalchemy as sa

from app import clock
from app.challenges import passcodes
from app.challenges.approvals import RequestedChallenge
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
_enrollment_of_browser = sa.case((binding_matches(_c.binding), _c.enrolled_id))
"""Join the enrollment only for challenges from this browser, the only ones that are shown again. Reading more for known
people than for unknown ones would be a timing difference."""

_RECENT = CompiledStatement(
    _ROWS.select()
    .select_from(_table.outerjoin(_enrolled, _enrolled.c.id == _enrollment_of_browser))
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
    here: RequestedChallenge | None = None


@dataclass(frozen=True, slots=True)
class FailedAttempt:
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


def diagnose(attempt: FailedAttempt, client: ClientContext) -> VerificationFailure:
    """Return why ``attempt`` failed. One statement and the same work for everyone; none if it can't be a sent code."""
    if not attempt.methods:
        return VerificationFailure()
    which = {"subject": attempt.subject, "purpose": attempt.purpose} | binding_params(client.bindings)
    now = clock.now()
    since = now - max(RECENT, settings.email_code_lifetime, settings.sms_code_lifetime)
    rows = _RECENT.all(**which, since=since)
    challenges = [_CHALLENGES.read(row)[0] for row in rows]
    mine = [place for place, each in enumerate(challenges) if client.is_bound_to(each.binding)]
    shown = [place for place in mine if _is_answerable(challenges[place], now)]
    open_approval = (
        RequestedChallenge(*_ROWS.read(rows[shown[0]])) if shown else None
    )  # read just one: challenges of unknown people have no enrollment
    recent = [each for each in challenges if _is_candidate(each, attempt)][:MAX_CHALLENGES]
    named = challenge_id_in(client.challenge_token) if client.challenge_token else None
    here = [each for each in recent if (each.id == named if named else client.is_bound_to(each.binding))]
    roots: dict[str | None, bytes | None] = {}
    # Derive the passcodes of all others, even after a match.
    matches = [each for each in recent if _is_answered_by(each, attempt, roots)]
    if not matches:
        return replace(_failure_without_match(attempt, here), here=open_approval)
    elsewhere = matches[0] not in here and matches[0].spent_at is None  # if spent, signing out ended it
    return VerificationFailure(
        "other_browser" if elsewhere else _why_closed(matches[0], attempt), matches[0].id, open_approval
    )


def _is_candidate(challenge: Challenge, attempt: FailedAttempt) -> bool:
    return challenge.subject == attempt.subject and challenge.method in attempt.methods


def _is_answerable(challenge: Challenge, now: datetime) -> bool:
    """Return whether a page still asks for this challenge's passcode."""
    return challenge.spent_at is None and challenge.passcode_expires_at > now


def _is_answered_by(challenge: Challenge, attempt: FailedAttempt, roots: dict[str | None, bytes | None]) -> bool:
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


def _failure_without_match(attempt: FailedAttempt, here: Sequence[Challenge]) -> VerificationFailure:
    """Explain a code that matches no recent challenge; without tries left it wasn't compared at all."""
    if attempt.counted:
        return VerificationFailure("wrong_code", attempt.counted[0].id)
    if not here:
        return VerificationFailure()
    return VerificationFailure("budget_spent" if _has_no_tries_left(here[0]) else "wrong_code", here[0].id)


def _why_closed(challenge: Challenge, attempt: FailedAttempt) -> str:
    if attempt.counted and challenge.id not in [each.id for each in attempt.counted]:
        return "older_code"
    if challenge.spent_at is not None or challenge.id in [each.id for each in attempt.counted]:
        return "spent"  # in the second case by a concurrent request
    if challenge.passcode_expires_at <= clock.now():
        return "expired"
    return "budget_spent" if _has_no_tries_left(challenge) else "wrong_code"


def _has_no_tries_left(challenge: Challenge) -> bool:
    return challenge.spent_at is None and challenge.tries >= settings.challenge_tries
