"""Authenticator: what every way to prove who you are has to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from app.authenticators import enrollments
from app.authenticators.models import Passkey, RecoveryCode
from app.challenges.diagnosis import VerificationFailure
from app.challenges.models import Challenge
from app.enrollments.catalog import Method
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.throttling.by_account import LoginAttempt

if TYPE_CHECKING:
    from app.client import ClientContext
    from app.users import User

Credential = Enrollment | Passkey | RecoveryCode
"""Something that an account has set up; a recovery code stands for all of its set."""


@dataclass(frozen=True, slots=True)
class VerifiedFactor:
    """What a right passcode proved: the method, and the challenge it answered if there was one.

    :ivar pending: it was a password that grants no access until the address is verified
    :ivar login_attempt: the attempt that was counted for it, which is given back when the proof is used
    :ivar verified: it proves two factors in one, as a passkey does that has verified its user
    :ivar held: what proved it is in its cooldown, so that it counts no more than a mailed code
    """

    method: str
    challenge: Challenge | None = None
    pending: bool = False
    login_attempt: LoginAttempt | None = None
    verified: bool = False
    held: bool = False

    @property
    def proof(self) -> str:
        """Its name in ``auth_session.amr``; with ``uv`` when it has verified its user."""
        return f"{self.method},uv" if self.verified else self.method

    @property
    def challenge_id(self) -> str | None:
        """Id of the challenge that it answered."""
        return self.challenge.id if self.challenge else None


@dataclass(frozen=True, slots=True)
class PasscodeAttempt:
    """A passcode, and all that it may be compared with.

    :ivar enrolled: what the account has set up that counts here
    :ivar challenges: the open challenges against which the attempt was counted
    :ivar is_allowed: whether the account's budget had room for it; if not, the work is done all the same, and nothing
        is proved
    """

    passcode: str | int
    enrolled: Sequence[Enrollment]
    by_id: Mapping[str, Enrollment]
    challenges: Sequence[Challenge]
    is_allowed: bool


@dataclass(frozen=True, slots=True)
class SecondFactorAttempt:
    """A code given as a second factor.

    :ivar enrolled: the account's enrollments of the method
    :ivar challenge_id: the challenge by which the code was sent, if it was; no other will do
    """

    user_id: int
    code: str | int
    enrolled: Sequence[Enrollment]
    challenge_id: str | None
    client: ClientContext
    purpose: str


@dataclass(frozen=True, slots=True)
class EnrollmentStart:
    """What is to be proved before a method is set up.

    :ivar destination: where its passcode goes, "" for none
    :ivar is_taken: whether that is another account's; nothing is sent then, and the answer is the same
    :ivar is_unproved: whether the destination may be a stranger's
    """

    destination: str = ""
    is_taken: bool = False
    is_unproved: bool = False


@dataclass(frozen=True, slots=True)
class EnrollmentProof:
    """An enrollment's challenge and what was typed for it.

    :ivar secret: the base32 secret that the challenge keeps
    :ivar identities: the account's identities by kind
    """

    challenge: Challenge
    secret: str
    passcode: str | int
    identities: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NewEnrollment:
    """What is stored of a method that was proved.

    :ivar secret: base32 secret, or a password's hash
    :ivar last_step: the 30-second step that an app has used
    :ivar session_id: of the session that sets it up, if one does
    :ivar weak_until: end of its cooldown; None when it has none
    :ivar as_second: it is set up as a second factor, and no way to sign in
    :ivar name: of a method of which an account may have several; "" for the default
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
    """A way to prove who you are: its traits (``Method``), its texts, and what it does.

    A new one is a module with a subclass of this, and a line in ``registry``. Everything here has a default that
    suits a method which sends nothing and is proved by a passcode of its own.

    :ivar title: its name on pages
    :ivar one_title: what one of it is called in a mail that says it was removed
    :ivar phrase: what proves it, within a sentence
    :ivar shows_secret: whether its owner is shown the secret when it is set up, to keep it in an app
    :ivar second_phrase: what is asked for where it is a second factor, within a sentence
    :ivar risk: what it exposes when it alone signs in, "" for nothing
    """

    title: str
    phrase: str
    shows_secret: bool = False
    second_phrase: str = ""
    risk: str = ""

    @property
    def one_title(self) -> str:
        """Return ``title``, where a sentence can begin with that."""
        return self.title

    def could_be(self, passcode: str | int) -> bool:
        """Say whether what was typed has the form of its passcodes. What has not is no attempt."""
        ...

    def verify(self, attempt: PasscodeAttempt) -> VerifiedFactor | VerificationFailure | None:
        """Return what a passcode proves, once; a failure when it was right and another request was first."""
        ...

    def verify_second(self, attempt: SecondFactorAttempt) -> VerifiedFactor | VerificationFailure:
        """Return what a code proves as a second factor; the attempt was counted for the account."""
        return VerificationFailure("wrong_code", attempt.challenge_id)

    def verify_enrolled(
        self, challenge: Challenge, enrolled: Sequence[Enrollment], code: str | int
    ) -> Enrollment | None:
        """Return which enrollment ``code`` proves where its owner is asked for it by ``challenge``."""
        return None

    def require_room(self, user_id: int, name: str = "") -> None:
        """Go on only if the account can have one more of it. One statement, where there can be several.

        :param name: for the one that is added, from ``checked_name``
        :raises Rejected: when it has as many as it can, or another of this name
        """
        return

    def begin_enrollment(self, user: User, identities: Mapping[str, str], phone: str | None) -> EnrollmentStart:
        """Return what must be proved to set it up.

        :param phone: as typed
        :raises Rejected: when it can't be set up
        """
        return EnrollmentStart()

    def is_own(self, phone: str | None, identities: Mapping[str, str]) -> bool:
        """Say whether setting it up with ``phone``, as typed, means what the account has of it already."""
        return False

    def prove_enrollment(self, proof: EnrollmentProof) -> tuple[str, int]:
        """Return the secret that is to be stored, and the 30-second step that is used up, 0 without one.

        :raises NotProved: when the passcode proves nothing
        :raises Rejected: what is wrong with a secret that its owner makes up
        """
        raise NotProved

    def checked_name(self, user_id: int, name: str) -> str:
        """Return the name of one more of it tidied up; "" for the default, and where there can be but one.

        :raises Rejected: what is wrong with it, on ``name``
        """
        return ""

    def add(self, new: NewEnrollment) -> None:
        """Store what was proved, in place of an earlier one where there can be but one. The user's row is held.

        :raises Rejected: when it can't be added any more
        """
        enrollments.replace(new.user.id, self.name, new.secret, session_id=new.session_id, weak_until=new.weak_until)

    def credentials_of(self, user_id: int, enrolled: Sequence[Enrollment]) -> Sequence[Credential]:
        """Return what an account has set up of it, each as it can be removed."""
        return [row for row in enrolled if row.method == self.name]

    def without(self, credential: Credential, enrolled: Sequence[Enrollment]) -> list[Enrollment]:
        """Return what is left among ``enrolled`` when ``credential`` goes."""
        return [row for row in enrolled if row.method != self.name]

    def remove(self, user: User, credential: Credential) -> bool:
        """Remove one; False when it is gone already, or the account would be left without an identity."""
        return self.remove_all(user)

    def remove_all(self, user: User) -> bool:
        """Remove all that an account has of it; False when it has none. Another way is left, the caller has seen."""
        return enrollments.remove(user.id, self.name) > 0


class NotProved(Exception):
    """A passcode that does not prove an enrollment.

    :ivar reason: for the timeline: ``wrong_code`` or ``expired``
    :ivar code: of the refusal
    """

    def __init__(self, reason: str = "wrong_code", code: str = "invalid_password_code") -> None:
        super().__init__(reason)
        self.reason, self.code = reason, code

    def rejected(self, field: str) -> Rejected:
        """Return it as the refusal of ``field``."""
        return Rejected(self.code, field=field)
