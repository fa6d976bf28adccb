"""Authenticator: the interface of all sign-in methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from app.authenticators import enrollments
from app.authenticators.models import Passkey, RecoveryCode
from app.challenges.diagnosis import VerificationFailure
from app.challenges.models import Challenge
from app.enrollments.methods import Method
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.throttling.by_account import LoginAttempt

if TYPE_CHECKING:
    from app.client import ClientContext
    from app.users import User

Credential = Enrollment | Passkey | RecoveryCode
"""Something that an account has set up. A recovery code represents its whole set."""


@dataclass(frozen=True, slots=True)
class VerifiedFactor:
    """The result of a successful verification: the method, and the challenge it answered, if any.

    :ivar pending: it was a password that grants no access until the address is verified
    :ivar login_attempt: the attempt that was counted for it, to be refunded when the factor is used
    :ivar verified: it counts as two factors, like a passkey with user verification
    :ivar in_cooldown: the credential is in its cooldown, and only as strong as an emailed code
    """

    method: str
    challenge: Challenge | None = None
    pending: bool = False
    login_attempt: LoginAttempt | None = None
    verified: bool = False
    in_cooldown: bool = False

    @property
    def amr(self) -> str:
        """Its name in ``auth_session.amr``; with ``uv`` after user verification."""
        return f"{self.method},uv" if self.verified else self.method

    @property
    def challenge_id(self) -> str | None:
        """Id of the challenge that it answered."""
        return self.challenge.id if self.challenge else None


@dataclass(frozen=True, slots=True)
class PasscodeAttempt:
    """A passcode, and everything it may be compared with.

    :ivar enrolled: enrollments of the account that are accepted here
    :ivar by_id: all enrollments of the account by id
    :ivar challenges: the open challenges against which the attempt was counted
    :ivar is_allowed: whether the account had attempts left; if not, the same work is done but verification fails
    """

    passcode: str | int
    enrolled: Sequence[Enrollment]
    by_id: Mapping[str, Enrollment]
    challenges: Sequence[Challenge]
    is_allowed: bool


@dataclass(frozen=True, slots=True)
class SecondFactorAttempt:
    """A code entered as a second factor.

    :ivar enrolled: the account's enrollments of the method
    :ivar challenge_id: the challenge that sent the code, if any; no other is accepted
    """

    user_id: int
    code: str | int
    enrolled: Sequence[Enrollment]
    challenge_id: str | None
    client: ClientContext
    purpose: str


@dataclass(frozen=True, slots=True)
class EnrollmentStart:
    """What must be verified before a method is set up.

    :ivar destination: where its passcode is sent, "" for nowhere
    :ivar is_taken: whether the destination belongs to another account; nothing is sent then, but the response is the
        same
    :ivar is_unverified: whether the destination may be a stranger's
    """

    destination: str = ""
    is_taken: bool = False
    is_unverified: bool = False


@dataclass(frozen=True, slots=True)
class EnrollmentAttempt:
    """The challenge of an enrollment, and the passcode that was typed for it.

    :ivar secret: base32 secret stored in the challenge
    :ivar identities: the account's identities by kind
    """

    challenge: Challenge
    secret: str
    passcode: str | int
    identities: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NewEnrollment:
    """A verified method to be stored.

    :ivar secret: base32 secret, or a password's hash
    :ivar last_step: the 30-second step used by an authenticator app's code
    :ivar session_id: the session that sets it up, if any
    :ivar weak_until: end of its cooldown; None if it has none
    :ivar as_second: it is set up only as a second factor, and can't be used alone to sign in
    :ivar name: name, for a method of which an account may have several; "" for the default
    """

    user: User
    challenge: Challenge
    secret: str
    last_step: int = 0
    session_id: str | None = None
    weak_until: datetime | None = None
    as_second: bool = False
    name: str = ""


class Authenticator(Method, Protocol):
    """A sign-in method: its properties (``Method``), its texts, and its behavior.

    To add one, write a module with a subclass, and add a line to ``registry``. The defaults suit a method that sends
    nothing and is verified by a passcode of its own.

    :ivar title: its name on pages
    :ivar one_title: name of a single credential, in the email about its removal
    :ivar phrase: what the user provides, within a sentence
    :ivar shows_secret: whether the user is shown the secret during setup, to store it in an app
    :ivar second_phrase: what the user provides as a second factor, within a sentence
    :ivar risk: the risk of using it alone to sign in, "" for none
    """

    title: str
    phrase: str
    shows_secret: bool = False
    second_phrase: str = ""
    risk: str = ""

    @property
    def one_title(self) -> str:
        """Return ``title``, which fits if a sentence can begin with it."""
        return self.title

    def could_be(self, passcode: str | int) -> bool:
        """Return whether the input has the format of its passcodes. Other input isn't counted as an attempt."""
        ...

    def verify(self, attempt: PasscodeAttempt) -> VerifiedFactor | VerificationFailure | None:
        """Verify a passcode, which works once. Return None if wrong, a failure if another request used it first."""
        ...

    def verify_second(self, attempt: SecondFactorAttempt) -> VerifiedFactor | VerificationFailure:
        """Verify a code as a second factor. The attempt was already counted for the account."""
        return VerificationFailure("wrong_code", attempt.challenge_id)

    def verify_existing(
        self, challenge: Challenge, enrolled: Sequence[Enrollment], code: str | int
    ) -> Enrollment | None:
        """Return the enrollment that ``code`` verifies in response to ``challenge``; None if it's wrong."""
        return None

    def require_room(self, user_id: int, name: str = "") -> None:
        """Check that the account can have one more. One statement, if it can have several.

        :param name: name of the one to add, from ``checked_name``
        :raises Rejected: if it has reached the limit, or has another of this name
        """
        return

    def begin_enrollment(self, user: User, identities: Mapping[str, str], phone: str | None) -> EnrollmentStart:
        """Return what must be verified to set it up.

        :param phone: phone number as typed
        :raises Rejected: if it can't be set up
        """
        return EnrollmentStart()

    def is_own(self, phone: str | None, identities: Mapping[str, str]) -> bool:
        """Return whether setting it up with ``phone``, as typed, refers to what the account already has."""
        return False

    def verify_enrollment(self, attempt: EnrollmentAttempt) -> tuple[str, int]:
        """Return the secret to store, and the 30-second step that was used, 0 without one.

        :raises VerificationError: if the passcode is wrong
        :raises Rejected: if a secret chosen by the user isn't acceptable
        """
        raise VerificationError

    def checked_name(self, user_id: int, name: str) -> str:
        """Return the normalized name for one more; "" for the default, and for methods that allow only one.

        :raises Rejected: if it isn't acceptable, on ``name``
        """
        return ""

    def add(self, new: NewEnrollment) -> None:
        """Store a verified method, replacing an earlier one if there can be only one. The user's row is locked.

        :raises Rejected: if it can no longer be added
        """
        enrollments.replace(new.user.id, self.name, new.secret, session_id=new.session_id, weak_until=new.weak_until)

    def credentials_of(self, user_id: int, enrolled: Sequence[Enrollment]) -> Sequence[Credential]:
        """Return the account's credentials of this method that can be removed individually."""
        return [row for row in enrolled if row.method == self.name]

    def without(self, credential: Credential, enrolled: Sequence[Enrollment]) -> list[Enrollment]:
        """Return the enrollments that are left if ``credential`` is removed."""
        return [row for row in enrolled if row.method != self.name]

    def remove(self, user: User, credential: Credential) -> bool:
        """Remove a credential; return False if it's already gone, or the account would be left without an identity."""
        return self.remove_all(user)

    def remove_all(self, user: User) -> bool:
        """Remove all of the account's credentials of this method; return False if it has none.

        The caller has checked that another sign-in method is left.
        """
        return enrollments.remove(user.id, self.name) > 0


class VerificationError(Exception):
    """A passcode that doesn't verify an enrollment.

    :ivar reason: for the timeline: ``wrong_code`` or ``expired``
    :ivar code: error code
    """

    def __init__(self, reason: str = "wrong_code", code: str = "invalid_password_code") -> None:
        super().__init__(reason)
        self.reason, self.code = reason, code

    def rejected(self, field: str) -> Rejected:
        """Return it as an error on ``field``."""
        return Rejected(self.code, field=field)
