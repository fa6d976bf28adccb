"""Authenticator apps (TOTP, RFC 6238): each 30-second step is accepted once, and an account has several by name."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pyotp
import sqlalchemy as sa
from pyotp.exceptions import OTPVerificationError

from app import clock
from app.authenticators import enrollments
from app.authenticators.base import (
    Authenticator,
    Credential,
    EnrollmentProof,
    NewEnrollment,
    NotProved,
    PasscodeAttempt,
    SecondFactorAttempt,
    VerifiedFactor,
)
from app.authenticators.sent_codes import note_mismatch
from app.challenges.diagnosis import VerificationFailure
from app.challenges.models import Challenge
from app.challenges.passcodes import enrolled_context, tidy
from app.crypto.encryption import DecryptionError
from app.enrollments.catalog import STRONG
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import changed, db, keyring, settings
from app.i18n import N_, gettext
from app.users import User

METHOD = "authenticator"

DIGITS = 6
DRIFT = 1
"""Steps of 30 s that a slow or fast clock may be off, each way (RFC 6238, section 5.2)."""


CLOCK_OFF = 20
"""Steps, each way, by which a clock can be off and the code is still known as the app's: ten minutes."""


def proven_step(secret: str, passcode: str | int, last_step: int) -> int | None:
    """Return the 30-second step a passcode proves now, or None if it proves none.

    Never a step up to ``last_step``: a passcode works once (RFC 6238, section 5.2).
    :param secret: base32, unsealed
    """
    typed = tidy(passcode, DIGITS)
    if typed is None:
        return None
    try:
        totp = pyotp.TOTP(secret, digits=DIGITS)
        step = totp.verify_and_get_timecode(typed, for_time=int(clock.unix()), valid_window=DRIFT)
    except OTPVerificationError:
        return None
    return step if step > last_step else None


def is_of_another_time(secret: str, passcode: str | int) -> bool:
    """Say whether a passcode is the app's of a few minutes ago, or ahead: a wrong clock shows it.

    For who has just been shown the key. Nobody else is told.
    """
    typed = tidy(passcode, DIGITS)
    return typed is not None and pyotp.TOTP(secret, digits=DIGITS).verify(
        typed, for_time=int(clock.unix()), valid_window=CLOCK_OFF
    )


def accept(enrolled: Enrollment, passcode: str | int) -> bool:
    """Accept ``passcode`` for this authenticator, once over all requests and replicas."""
    secret = keyring.open(enrolled.secret, *enrolled_context(enrolled)).decode()
    step = proven_step(secret, passcode, enrolled.last_step)
    if step is None:
        return False
    newer = (Enrollment.id == enrolled.id, Enrollment.last_step < step)
    burn = sa.update(Enrollment).where(*newer).values(last_step=step, last_used_at=clock.now())
    return changed(burn) == 1


def has_stopped(enrolled: Enrollment) -> bool:
    """Say whether so many codes of this authenticator were wrong in a row that it waits for another factor.

    They were wrong as a second step; but what has stopped there is no first proof either (NIST SP 800-63B 3.2.2).
    """
    return settings.limits and enrolled.misses >= settings.failures_in_a_row


def otpauth_uri(secret: str, account: str) -> str:
    """Return the ``otpauth://`` address that an app reads from the QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=settings.totp_issuer)


def grouped(secret: str) -> str:
    """Return a base32 key in groups of four joined by dashes, for typing."""
    return "-".join(secret[i : i + 4] for i in range(0, len(secret), 4))


MOST = 5
"""Apps of one user, at most: each has three codes that are right at any time (docs/security.md, Many guesses)."""

UNNAMED = N_("Authenticator app")


def name_of(row: Enrollment) -> str:
    """Return what an app is called; one that came with the account, or with an earlier release, has no name stored."""
    return row.name or gettext(UNNAMED)


def apps_among(rows: Sequence[Enrollment]) -> list[Enrollment]:
    """Return the apps among what a user has set up, the oldest first."""
    return [row for row in rows if row.method == METHOD]


def apps_of(user_id: int) -> list[Enrollment]:
    """Return a user's apps, the oldest first. One statement."""
    return apps_among(enrollments.enrolled_of(user_id))


def checked(name: str, field: str = "name") -> str:
    """Return ``name`` tidied up.

    :raises Rejected: on ``field``: ``authenticator_name_required``, ``invalid_input_length``,
        ``invalid_input`` (markup) or ``authenticator_name_disallowed_characters`` (what cannot be seen)
    """
    return enrollments.checked_name(
        name, field, required="authenticator_name_required", disallowed="authenticator_name_disallowed_characters"
    )


def checked_for_new(user_id: int, name: str) -> str:
    """Return ``name`` tidied up for one more app of this user; "" stays the default. One statement for a name.

    :raises Rejected: as ``checked``, and ``authenticator_name_inuse`` on ``name``
    """
    if not name.strip():
        return ""
    tidy = checked(name)
    _require_free(tidy, _taken(user_id))
    return tidy


def _name_for_new(mine: Sequence[Enrollment], name: str) -> str:
    """Return what a new app beside ``mine`` is called.

    :param name: from ``checked_for_new``; "" for the default, with a number where that is taken
    :raises Rejected: ``authenticator_name_inuse`` on ``name``
    """
    taken = {name_of(row) for row in mine}
    _require_free(name, taken)
    return name or enrollments.numbered_name(gettext(UNNAMED), taken)


def find(user_id: int, app_id: str) -> Enrollment | None:
    """Return this app of the user."""
    return db.session.scalars(sa.select(Enrollment).where(*_one(user_id, app_id))).first()


def rename(user_id: int, app_id: str, name: str) -> bool:
    """Give a user's app another name; False when they have no such app. The caller holds the user's row.

    :param name: from ``checked``
    :raises Rejected: ``authenticator_name_inuse`` on ``name``
    """
    _require_free(name, _taken(user_id, but=app_id))
    return changed(sa.update(Enrollment).where(*_one(user_id, app_id)).values(name=name)) == 1


def remove(user_id: int, app_id: str) -> bool:
    """Remove one of a user's apps; False when there was none."""
    return changed(sa.delete(Enrollment).where(*_one(user_id, app_id))) == 1


def _taken(user_id: int, but: str = "") -> set[str]:
    """Return the names of a user's apps as they stand now, also where rows were read before: it reads no rows.

    :param but: id of one that does not count
    """
    others = (Enrollment.user_id == user_id, Enrollment.method == METHOD, Enrollment.id != but)
    return {name or UNNAMED for name in db.session.scalars(sa.select(Enrollment.name).where(*others))}


def _require_free(name: str, taken: Collection[str]) -> None:
    if name in taken:
        raise Rejected("authenticator_name_inuse", field="name", name=name)


def _one(user_id: int, app_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return Enrollment.user_id == user_id, Enrollment.method == METHOD, Enrollment.id == app_id


class Totp(Authenticator):
    """An authenticator app."""

    name = METHOD
    amr = "otp"
    strength = STRONG
    allows_many = True
    second_rank = 2
    second_signs_in = False
    shows_secret = True
    title, phrase = N_("Authenticator app"), N_("a code from your authenticator app")
    second_phrase = N_("a code from your authenticator app")
    risk = N_("Anyone who has your authenticator app can sign in.")

    def is_second_alone(self, enrollment: Enrollment, *, asked: bool) -> bool:
        """As ``Method``: one that was set up as a second factor, or is one (ADR 37)."""
        is_asked_for = asked and enrollment.is_second and not enrollment.signs_in
        return enrollment.signs_in is False or is_asked_for

    def could_be(self, passcode: str | int) -> bool:
        """As ``Authenticator``."""
        return tidy(passcode, DIGITS) is not None

    def verify(self, attempt: PasscodeAttempt) -> VerifiedFactor | None:
        """As ``Authenticator``. An app that has stopped is no first proof either."""
        if not attempt.is_allowed:
            return None
        for row in apps_among(attempt.enrolled):
            if not has_stopped(row) and _accepted(row, attempt.passcode):
                return VerifiedFactor(self.name, held=row.in_cooldown(clock.now()))
        return None

    def verify_second(self, attempt: SecondFactorAttempt) -> VerifiedFactor | VerificationFailure:
        """As ``Authenticator``. Each app stops after ``LATCHKEY_FAILURES_IN_A_ROW`` until another factor succeeds."""
        counted, now = _count_miss(attempt.user_id), clock.now()
        able = (row for row in attempt.enrolled if row.id in counted and not row.in_cooldown(now))
        if any(_accepted(row, attempt.code) for row in able):
            return VerifiedFactor(self.name)
        return VerificationFailure()

    def verify_enrolled(
        self, challenge: Challenge, enrolled: Sequence[Enrollment], code: str | int
    ) -> Enrollment | None:
        """As ``Authenticator``."""
        return next((row for row in enrolled if accept(row, code)), None)

    def require_room(self, user_id: int, name: str = "") -> None:
        """As ``Authenticator``.

        :raises Rejected: ``authenticator_too_many``; ``authenticator_name_inuse`` on ``name``
        """
        mine = apps_of(user_id)
        if len(mine) >= MOST:
            raise Rejected("authenticator_too_many", most=MOST)
        _require_free(name, {name_of(row) for row in mine})

    def prove_enrollment(self, proof: EnrollmentProof) -> tuple[str, int]:
        """As ``Authenticator``; a code of another time shows that a clock is wrong."""
        step = proven_step(proof.secret, proof.passcode, 0)
        if not step:
            is_off = is_of_another_time(proof.secret, proof.passcode)
            raise NotProved(code="totp_clock_off" if is_off else "invalid_password_code")
        return proof.secret, step

    def checked_name(self, user_id: int, name: str) -> str:
        """As ``Authenticator``."""
        return checked_for_new(user_id, name)

    def add(self, new: NewEnrollment) -> None:
        """As ``Authenticator``, beside the others; where those are second factors, it is one as well.

        One that is set up as a way to sign in where apps are second factors is both (ADR 37).
        """
        mine = apps_of(new.user.id)
        is_second = any(row.is_second for row in mine)
        enrollments.enroll(
            new.user.id, self.name, new.secret, last_step=new.last_step, name=_name_for_new(mine, new.name),
            session_id=new.session_id, weak_until=new.weak_until,
            signs_in=False if new.as_second else True if is_second else None, is_second=is_second,
        )  # fmt: skip

    def without(self, credential: Credential, enrolled: Sequence[Enrollment]) -> list[Enrollment]:
        """As ``Authenticator``: the other apps stay."""
        return [row for row in enrolled if row.id != credential.id]

    def remove(self, user: User, credential: Credential) -> bool:
        """As ``Authenticator``: this app alone."""
        return remove(user.id, credential.id)


def _count_miss(user_id: int) -> set[str]:
    """Count a miss of each app of this user before a code is looked at; return the ids of those that have not stopped.

    Exact at any rate. One statement.
    """
    apps = (Enrollment.user_id == user_id, Enrollment.method == METHOD)
    goes_on = Enrollment.misses < settings.failures_in_a_row if settings.limits else sa.true()
    counted = sa.update(Enrollment).where(*apps, goes_on).values(misses=Enrollment.misses + 1)
    counted = counted.returning(Enrollment.id).execution_options(at_once=True, synchronize_session=False)
    return set(db.session.scalars(counted))


def _accepted(row: Enrollment, passcode: str | int) -> bool:
    try:
        return accept(row, passcode)
    except DecryptionError as mismatch:
        return note_mismatch(row, mismatch)
