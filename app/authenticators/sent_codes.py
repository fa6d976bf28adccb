"""Codes by email and SMS: a challenge's passcode, sent to an identity of the account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import sqlalchemy as sa

from app import clock
from app.audit import record
from app.authenticators import enrollments
from app.authenticators.base import (
    Authenticator,
    Credential,
    EnrollmentAttempt,
    EnrollmentStart,
    NewEnrollment,
    PasscodeAttempt,
    SecondFactorAttempt,
    VerificationError,
    VerifiedFactor,
)
from app.challenges import passcodes
from app.challenges import service as challenges
from app.challenges.diagnosis import VerificationFailure
from app.challenges.magic_links import registers_account
from app.challenges.models import Challenge, challenge_token_of
from app.challenges.send_limits import may_be_texted
from app.crypto.encryption import DecryptionError
from app.enrollments.methods import WEAK
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import db, settings
from app.i18n import N_
from app.users import (
    TypedIdentity,
    User,
    add_identity,
    find_by_identity,
    identifiers,
    identities_of,
    release_unverified,
    remove_identities,
    subject_of,
)

CONFIRMED = "confirm"
"""Name in ``amr`` for confirming an email address, which is equivalent to an email code."""


def confirmed_by(challenge: Challenge) -> str:
    """Return the name in ``amr`` for answering the first challenge of an account."""
    return CONFIRMED if challenge.method == EmailCode.name else challenge.method


class SentCode(Authenticator):
    """Base class of the methods that send a code, which answers a challenge."""

    strength = WEAK

    def could_be(self, passcode: str | int) -> bool:
        """See ``Authenticator``."""
        return passcodes.tidy(passcode, self.digits) is not None

    def verify(self, attempt: PasscodeAttempt) -> VerifiedFactor | VerificationFailure | None:
        """See ``Authenticator``. Compares all open challenges, even if the attempt isn't allowed."""
        own = [each for each in attempt.challenges if each.method == self.name]
        right = [each for each in own if _answers(each, attempt.by_id.get(each.enrolled_id or ""), attempt.passcode)]
        if not right or not attempt.is_allowed:
            return None
        challenge = next((each for each in right if challenges.spend(each)), None)
        if challenge is None:
            return VerificationFailure("spent", right[0].id)
        enrolled = attempt.by_id.get(challenge.enrolled_id or "")
        return VerifiedFactor(
            self.name, challenge, in_cooldown=enrolled is not None and enrolled.in_cooldown(clock.now())
        )

    def verify_second(self, attempt: SecondFactorAttempt) -> VerifiedFactor | VerificationFailure:
        """See ``Authenticator``."""
        if attempt.challenge_id is None:
            return VerificationFailure()
        named = replace(attempt.client, challenge_token=challenge_token_of(attempt.challenge_id))
        by_id = {row.id: row for row in attempt.enrolled}
        subject = subject_of(attempt.user_id, "")
        for challenge in challenges.count_try(attempt.purpose, [self.name], subject, named):
            enrolled = by_id.get(challenge.enrolled_id or "")
            if enrolled is None or not _is_code_of(challenge, enrolled, attempt.code):
                continue
            if challenges.spend(challenge):
                return VerifiedFactor(self.name, challenge)
            return VerificationFailure("spent", challenge.id)
        return VerificationFailure("wrong_code", attempt.challenge_id)

    def verify_existing(
        self, challenge: Challenge, enrolled: Sequence[Enrollment], code: str | int
    ) -> Enrollment | None:
        """See ``Authenticator``."""
        if clock.now() >= challenge.passcode_expires_at or challenge.sends == 0:
            return None
        asked = (row for row in enrolled if row.id == challenge.enrolled_id)
        return next(
            (row for row in asked if passcodes.answers(challenge, passcodes.root_of(challenge, row), code)), None
        )

    def verify_enrollment(self, attempt: EnrollmentAttempt) -> tuple[str, int]:
        """See ``Authenticator``."""
        challenge = attempt.challenge
        typed = passcodes.tidy(attempt.passcode, self.digits)
        is_late = clock.now() >= challenge.passcode_expires_at
        is_live = not is_late and challenge.sends > 0
        if not is_live or typed is None or not passcodes.passcode_matches(challenge, attempt.secret.encode(), typed):
            raise VerificationError("expired" if is_late else "wrong_code")
        return attempt.secret, 0


class EmailCode(SentCode):
    """A code by email, with a link."""

    name = "email"
    amr = "otp"
    aliases = (CONFIRMED,)
    sends, reaches = "mail", "email"
    has_link = True
    title, phrase = N_("Email code"), N_("a code by email")
    risk = N_("Anyone who can read your email can sign in.")

    @property
    def digits(self) -> int:
        """See ``Method``."""
        return settings.email_code_digits

    def begin_enrollment(self, user: User, identities: Mapping[str, str], phone: str | None) -> EnrollmentStart:
        """See ``Authenticator``. Requires that the account has an email.

        :raises Rejected: ``us_method_not_available`` on ``chosen_method``
        """
        if not identities.get(self.reaches):
            raise Rejected("us_method_not_available", field="chosen_method")
        return EnrollmentStart(identities[self.reaches])

    def credentials_of(self, user_id: int, enrolled: Sequence[Enrollment]) -> Sequence[Enrollment]:
        """See ``Authenticator``. Always empty: email codes are removed with the last email, and not before."""
        return []


class SmsCode(SentCode):
    """A code by SMS. The phone number is added and removed with it."""

    name = "sms"
    amr = "sms"
    sends, reaches = "sms", "phone"
    owns_identity = True
    second_rank = 3
    title, phrase = N_("Text-message code"), N_("a code by text message")
    second_phrase = N_("a code by text message")
    risk = N_("Anyone who gets your text messages can sign in.")

    @property
    def digits(self) -> int:
        """See ``Method``."""
        return settings.sms_code_digits

    @property
    def code_lifetime(self) -> timedelta:
        """See ``Method``."""
        return settings.sms_code_lifetime

    @property
    def resend_wait(self) -> timedelta:
        """See ``Method``."""
        return settings.sms_resend_wait

    def begin_enrollment(self, user: User, identities: Mapping[str, str], phone: str | None) -> EnrollmentStart:
        """See ``Authenticator``. Before verification, only explicit responses reveal that a number is taken.

        :raises Rejected: ``phone_invalid``, ``phone_country_unavailable`` or ``identity_already_associated`` on
            ``phone``
        """
        try:
            number = identifiers.phone(phone or "", settings.phone_region_default)
        except identifiers.InvalidIdentifier:
            raise Rejected("phone_invalid", field="phone") from None
        if not may_be_texted(number):
            raise Rejected("phone_country_unavailable", field="phone")
        owner = find_by_identity(TypedIdentity(self.reaches, number))
        is_taken = owner is not None and (owner.id == user.id or owner.confirmed_at is not None)
        if owner is not None and is_taken and (owner.id == user.id or not settings.generic_responses):
            raise Rejected("identity_already_associated", field="phone")
        return EnrollmentStart(number, is_taken=is_taken, is_unverified=number != identities.get(self.reaches))

    def is_own(self, phone: str | None, identities: Mapping[str, str]) -> bool:
        """See ``Authenticator``. Without a number, it's the one already set up."""
        try:
            return not phone or identifiers.phone(phone, settings.phone_region_default) == identities.get(self.reaches)
        except identifiers.InvalidIdentifier:
            return False

    def add(self, new: NewEnrollment) -> None:
        """See ``Authenticator``. Also adds the phone number.

        The number is taken from an account that was registered with it but never confirmed.
        :raises Rejected: ``identity_already_associated`` if the number is taken by now
        """
        number = TypedIdentity(self.reaches, new.challenge.destination)
        with db.session.begin_nested():  # on an error, the old number stays
            release_unverified(number)
            remove_identities(new.user, self.reaches)
            add_identity(new.user, number, confirmed=True)
        enrollments.replace(new.user.id, self.name, new.secret, session_id=new.session_id, weak_until=new.weak_until)

    def remove(self, user: User, credential: Credential) -> bool:
        """See ``Authenticator``. Also removes the phone number."""
        return bool(set(identities_of(user.id)) - {self.reaches}) and self.remove_all(user)

    def remove_all(self, user: User) -> bool:
        """See ``Authenticator``. Also removes the phone number."""
        if not enrollments.remove(user.id, self.name):
            return False
        remove_identities(user, self.reaches)
        return True


def enroll_email_code(user_id: int, session_id: str | None = None) -> bool:
    """Enroll the account in email codes; return False if it already is.

    :param session_id: the session that sets it up, if any
    """
    has_it = sa.select(Enrollment.id).where(Enrollment.user_id == user_id, Enrollment.method == EmailCode.name)
    if db.session.scalar(has_it.limit(1)) is not None:
        return False
    enrollments.enroll(user_id, EmailCode.name, session_id=session_id)
    return True


def record_mismatch(row: Enrollment | Challenge, mismatch: DecryptionError) -> bool:
    """Record that a secret can't be decrypted; return False, since verification fails then."""
    challenge_id = row.id if isinstance(row, Challenge) else None
    record("crypto.mismatch", row.user_id, challenge_id=challenge_id, method=row.method, kid=mismatch.kid)
    return False


def _answers(challenge: Challenge, enrolled: Enrollment | None, passcode: str | int) -> bool:
    """Return whether a passcode answers ``challenge``, and the challenge can sign in or register someone."""
    try:
        right = passcodes.answers(challenge, passcodes.root_of(challenge, enrolled), passcode)
    except DecryptionError as mismatch:
        return record_mismatch(challenge, mismatch)
    if challenge.user_id is None:
        return right and registers_account(challenge)
    return right and (enrolled is not None or challenge.secret != "")


def _is_code_of(challenge: Challenge, enrolled: Enrollment, code: str | int) -> bool:
    try:
        return passcodes.answers(challenge, passcodes.root_of(challenge, enrolled), code)
    except DecryptionError as mismatch:
        return record_mismatch(enrolled, mismatch)
