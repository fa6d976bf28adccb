"""Authenticator apps (TOTP, RFC 6238). Each 30-second step is accepted once. An account may have several named apps."""

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
    EnrollmentAttempt,
    NewEnrollment,
    PasscodeAttempt,
    SecondFactorAttempt,
    VerificationError,
    VerifiedFactor,
)
from app.authenticators.sent_codes import record_mismatch
from app.challenges.diagnosis import VerificationFailure
from app.challenges.models import Challenge
from app.challenges.passcodes import enrolled_context, tidy
from app.crypto.encryption import DecryptionError
from app.enrollments.methods import STRONG
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import db, execute_update, keyring, settings
from app.i18n import N_, gettext
from app.users import User

METHOD = "authenticator"

DIGITS = 6
DRIFT = 1
"""Accepted clock drift in 30-second steps, in either direction (RFC 6238, section 5.2)."""


CLOCK_OFF = 20
"""Clock drift in steps, in either direction, up to which a wrong clock is detected: ten minutes."""


def matching_step(secret: str, passcode: str | int, last_step: int) -> int | None:
    """Return the 30-second step of a valid passcode, or None if it isn't valid now.

    Steps up to ``last_step`` are rejected, so that a passcode works only once (RFC 6238, section 5.2).
    :param secret: base32, decrypted
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


def matches_other_time(secret: str, passcode: str | int) -> bool:
    """Return whether a passcode would be valid a few minutes ago or ahead, which indicates a wrong clock.

    Use it only during setup, for someone who has just seen the key. Don't reveal it to anyone else.
    """
    typed = tidy(passcode, DIGITS)
    return typed is not None and pyotp.TOTP(secret, digits=DIGITS).verify(
        typed, for_time=int(clock.unix()), valid_window=CLOCK_OFF
    )


def accept(enrolled: Enrollment, passcode: str | int) -> bool:
    """Verify ``passcode`` for this authenticator app, accepting it only once across all requests and replicas."""
    secret = keyring.open(enrolled.secret, *enrolled_context(enrolled)).decode()
    step = matching_step(secret, passcode, enrolled.last_step)
    if step is None:
        return False
    newer = (Enrollment.id == enrolled.id, Enrollment.last_step < step)
    burn = sa.update(Enrollment).where(*newer).values(last_step=step, last_used_at=clock.now())
    return execute_update(burn) == 1


def is_blocked(enrolled: Enrollment) -> bool:
    """Return whether this app is blocked after too many consecutive wrong codes, until another factor succeeds.

    Only wrong codes as a second factor count, but a blocked app isn't accepted as a first factor either (NIST SP
    800-63B 3.2.2).
    """
    return settings.limits and enrolled.misses >= settings.failures_in_a_row


def otpauth_uri(secret: str, account: str) -> str:
    """Return the ``otpauth://`` URI for the QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=settings.totp_issuer)


def grouped(secret: str) -> str:
    """Return a base32 key in groups of four separated by dashes, for typing."""
    return "-".join(secret[i : i + 4] for i in range(0, len(secret), 4))


MAX_APPS = 5
"""Maximum apps per user. Each has three valid codes at any time (docs/security.md, Many guesses)."""

UNNAMED = N_("Authenticator app")


def name_of(row: Enrollment) -> str:
    """Return the name of an app. Apps created with the account or by earlier releases have no stored name."""
    return row.name or gettext(UNNAMED)


def apps_among(rows: Sequence[Enrollment]) -> list[Enrollment]:
    """Return the authenticator apps among a user's enrollments, in the same order (oldest first)."""
    return [row for row in rows if row.method == METHOD]


def apps_of(user_id: int) -> list[Enrollment]:
    """Return a user's apps, oldest first. One statement."""
    return apps_among(enrollments.enrolled_of(user_id))


def checked(name: str, field: str = "name") -> str:
    """Return the normalized ``name``.

    :raises Rejected: on ``field``: ``authenticator_name_required``, ``invalid_input_length``,
        ``invalid_input`` (markup) or ``authenticator_name_disallowed_characters`` (invisible characters)
    """
    return enrollments.checked_name(
        name, field, required="authenticator_name_required", disallowed="authenticator_name_disallowed_characters"
    )


def checked_for_new(user_id: int, name: str) -> str:
    """Return the normalized ``name`` for another app of this user; "" for the default. One statement, if named.

    :raises Rejected: as ``checked``, and ``authenticator_name_inuse`` on ``name``
    """
    if not name.strip():
        return ""
    tidy = checked(name)
    _require_free(tidy, _taken(user_id))
    return tidy


def _name_for_new(mine: Sequence[Enrollment], name: str) -> str:
    """Return the name of an app that is added to ``mine``.

    :param name: from ``checked_for_new``; "" for the default, with a number appended if that is taken
    :raises Rejected: ``authenticator_name_inuse`` on ``name``
    """
    taken = {name_of(row) for row in mine}
    _require_free(name, taken)
    return name or enrollments.numbered_name(gettext(UNNAMED), taken)


def find(user_id: int, app_id: str) -> Enrollment | None:
    """Return this app of the user, or None."""
    return db.session.scalars(sa.select(Enrollment).where(*_one(user_id, app_id))).first()


def rename(user_id: int, app_id: str, name: str) -> bool:
    """Rename a user's app; return False if they have no such app. The caller holds the lock on the user's row.

    :param name: from ``checked``
    :raises Rejected: ``authenticator_name_inuse`` on ``name``
    """
    _require_free(name, _taken(user_id, except_id=app_id))
    return execute_update(sa.update(Enrollment).where(*_one(user_id, app_id)).values(name=name)) == 1


def remove(user_id: int, app_id: str) -> bool:
    """Remove one of a user's apps; return False if there is no such app."""
    return execute_update(sa.delete(Enrollment).where(*_one(user_id, app_id))) == 1


def _taken(user_id: int, except_id: str = "") -> set[str]:
    """Return the current names of a user's apps. Selects only the column, so ORM objects loaded earlier don't matter.

    :param except_id: id of an app to ignore
    """
    others = (Enrollment.user_id == user_id, Enrollment.method == METHOD, Enrollment.id != except_id)
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
    usable_alone_as_second = False
    shows_secret = True
    title, phrase = N_("Authenticator app"), N_("a code from your authenticator app")
    second_phrase = N_("a code from your authenticator app")
    risk = N_("Anyone who has your authenticator app can sign in.")

    def is_second_factor_only(self, enrollment: Enrollment, *, uses_second_factors: bool) -> bool:
        """See ``Method``. True if it was set up as a second factor, or is required as one (ADR 37)."""
        is_required = uses_second_factors and enrollment.is_second and not enrollment.signs_in
        return enrollment.signs_in is False or is_required

    def could_be(self, passcode: str | int) -> bool:
        """See ``Authenticator``."""
        return tidy(passcode, DIGITS) is not None

    def verify(self, attempt: PasscodeAttempt) -> VerifiedFactor | None:
        """See ``Authenticator``. Blocked apps aren't accepted as a first factor either."""
        if not attempt.is_allowed:
            return None
        for row in apps_among(attempt.enrolled):
            if not is_blocked(row) and _accepted(row, attempt.passcode):
                return VerifiedFactor(self.name, in_cooldown=row.in_cooldown(clock.now()))
        return None

    def verify_second(self, attempt: SecondFactorAttempt) -> VerifiedFactor | VerificationFailure:
        """See ``Authenticator``. ``LATCHKEY_FAILURES_IN_A_ROW`` misses block an app until another factor succeeds."""
        counted, now = _count_miss(attempt.user_id), clock.now()
        able = (row for row in attempt.enrolled if row.id in counted and not row.in_cooldown(now))
        if any(_accepted(row, attempt.code) for row in able):
            return VerifiedFactor(self.name)
        return VerificationFailure()

    def verify_existing(
        self, challenge: Challenge, enrolled: Sequence[Enrollment], code: str | int
    ) -> Enrollment | None:
        """See ``Authenticator``."""
        return next((row for row in enrolled if accept(row, code)), None)

    def require_room(self, user_id: int, name: str = "") -> None:
        """See ``Authenticator``.

        :raises Rejected: ``authenticator_too_many``; ``authenticator_name_inuse`` on ``name``
        """
        mine = apps_of(user_id)
        if len(mine) >= MAX_APPS:
            raise Rejected("authenticator_too_many", most=MAX_APPS)
        _require_free(name, {name_of(row) for row in mine})

    def verify_enrollment(self, attempt: EnrollmentAttempt) -> tuple[str, int]:
        """See ``Authenticator``. A code of another time gets an error that says a clock is wrong."""
        step = matching_step(attempt.secret, attempt.passcode, 0)
        if not step:
            is_off = matches_other_time(attempt.secret, attempt.passcode)
            raise VerificationError(code="totp_clock_off" if is_off else "invalid_password_code")
        return attempt.secret, step

    def checked_name(self, user_id: int, name: str) -> str:
        """See ``Authenticator``."""
        return checked_for_new(user_id, name)

    def add(self, new: NewEnrollment) -> None:
        """See ``Authenticator``. Adds an app to the existing ones; if those are second factors, so is this one.

        If it is set up to sign in while apps are second factors, it is both (ADR 37).
        """
        mine = apps_of(new.user.id)
        is_second = any(row.is_second for row in mine)
        enrollments.enroll(
            new.user.id, self.name, new.secret, last_step=new.last_step, name=_name_for_new(mine, new.name),
            session_id=new.session_id, weak_until=new.weak_until,
            signs_in=False if new.as_second else True if is_second else None, is_second=is_second,
        )  # fmt: skip

    def without(self, credential: Credential, enrolled: Sequence[Enrollment]) -> list[Enrollment]:
        """See ``Authenticator``. Other apps stay."""
        return [row for row in enrolled if row.id != credential.id]

    def remove(self, user: User, credential: Credential) -> bool:
        """See ``Authenticator``. Removes only this app."""
        return remove(user.id, credential.id)


def _count_miss(user_id: int) -> set[str]:
    """Count a miss for each of the user's apps before checking a code; return the ids of those that aren't blocked.

    Committed immediately, and exact under concurrency. One statement.
    """
    apps = (Enrollment.user_id == user_id, Enrollment.method == METHOD)
    not_blocked = Enrollment.misses < settings.failures_in_a_row if settings.limits else sa.true()
    counted = sa.update(Enrollment).where(*apps, not_blocked).values(misses=Enrollment.misses + 1)
    counted = counted.returning(Enrollment.id).execution_options(autocommit=True, synchronize_session=False)
    return set(db.session.scalars(counted))


def _accepted(row: Enrollment, passcode: str | int) -> bool:
    try:
        return accept(row, passcode)
    except DecryptionError as mismatch:
        return record_mismatch(row, mismatch)
