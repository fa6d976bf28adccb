"""Enroll an authenticator. Nothing is stored until a passcode has verified it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app import clock
from app.audit import record
from app.authenticators.base import EnrollmentAttempt, NewEnrollment, VerificationError
from app.authenticators.registry import authenticator_of
from app.challenges import passcodes
from app.challenges import service as challenges
from app.challenges.models import Challenge, challenge_id_in
from app.challenges.service import ChallengeRequest
from app.client import ClientContext
from app.errors import Rejected
from app.extensions import keyring, settings
from app.users import User, identities_of


@dataclass(frozen=True, slots=True)
class PendingEnrollment:
    """A method that is being set up and not yet verified.

    :ivar account: the account's name in an authenticator app
    :ivar secret: base32 key of an authenticator app, shown until it is verified; "" for other methods
    """

    challenge: Challenge
    account: str
    secret: str = ""


def begin(
    user: User,
    method: str,
    phone: str | None,
    purpose: str,
    session_id: str,
    client: ClientContext,
    *,
    replacing: bool = False,
) -> PendingEnrollment:
    """Start setting up ``method``. The account doesn't change until the method is verified.

    :param purpose: purpose of the challenge; verifying it requires the same one
    :param session_id: the requesting session or pending sign-in; only that one can verify the method
    :param replacing: whether the same request removes the user's existing enrollments of this method
    :raises Rejected: ``us_method_not_available`` on ``chosen_method``; ``phone_invalid`` or
        ``identity_already_associated`` on ``phone``; ``authenticator_too_many``; ``too_many_messages``
    """
    authenticator, mine = authenticator_of(method), identities_of(user.id)
    if not replacing:
        authenticator.require_room(user.id)
    start = authenticator.begin_enrollment(user, mine, phone)
    secret = passcodes.new_secret()
    challenge_request = ChallengeRequest(
        purpose, method, user.id, "", start.destination, pending_secret=secret, lifetime=settings.us_setup_within,
        message_kind="setup" if authenticator.sends else "", suppress=start.is_taken, session_id=session_id,
        is_unverified=start.is_unverified,
    )  # fmt: skip
    challenge = challenges.issue_challenge(challenge_request, client)
    return PendingEnrollment(challenge, account_name(mine), secret if authenticator.shows_secret else "")


def find_pending(user: User, state: str, purpose: str, session_id: str) -> PendingEnrollment | None:
    """Return the pending enrollment of ``state`` if this session of the user can still verify it."""
    challenge_id = challenge_id_in(state)
    challenge = challenges.find(challenge_id, purpose) if challenge_id else None
    if challenge is None or not _is_whose(challenge, user, session_id) or not challenge.is_open(clock.now()):
        return None
    if challenge.tries >= settings.challenge_tries:
        return None
    mine, key = identities_of(user.id), ""
    if challenge.secret and authenticator_of(challenge.method).shows_secret:
        key = keyring.open(challenge.secret, *passcodes.challenge_context(challenge)).decode()
    return PendingEnrollment(challenge, account_name(mine), key)


def store(
    user: User,
    challenge: Challenge,
    passcode: str | int,
    session_id: str | None,
    field: str = "passcode",
    *,
    weak_until: datetime | None = None,
    as_second: bool = False,
    name: str = "",
) -> None:
    """Store the method of ``challenge`` if ``passcode`` verifies it.

    The caller has counted the try and locked the user's row.
    :param session_id: the session that sets it up, if any
    :param field: form field of the passcode
    :param weak_until: end of the new method's cooldown; None if it has none
    :param as_second: it is set up only as a second factor, and can't be used alone to sign in
    :param name: name of an authenticator app, from ``checked_name``; "" for the default
    :raises Rejected: on ``field`` ``invalid_password_code``, ``totp_clock_off`` or the reason a password is rejected;
        ``api_error`` if another request was first; ``identity_already_associated`` if the number is taken by now;
        ``authenticator_too_many``, and ``authenticator_name_inuse`` on ``name``
    """
    authenticator = authenticator_of(challenge.method)
    authenticator.require_room(user.id, name)
    secret, last_step = _verify(user, challenge, passcode, field)
    if not challenges.spend(challenge):
        raise Rejected("api_error")
    authenticator.add(
        NewEnrollment(
            user, challenge, secret, last_step=last_step, session_id=session_id, weak_until=weak_until,
            as_second=as_second, name=name,
        )
    )  # fmt: skip


def checked_name(user: User, challenge_id: str, purpose: str, name: str) -> str:
    """Return the normalized name for what this enrollment adds; "" for the default. No statements without a name.

    :raises Rejected: if it isn't acceptable, on ``name``
    """
    challenge = challenges.find(challenge_id, purpose) if name.strip() else None
    return authenticator_of(challenge.method).checked_name(user.id, name) if challenge else ""


def account_name(mine: dict[str, str]) -> str:
    """Return the account's name for display in an authenticator app."""
    return mine.get("email") or mine.get("username") or mine.get("phone", "")


def enrollment_error(user: User, challenge_id: str, purpose: str, session_id: str, field: str = "passcode") -> Rejected:
    """Return the error for a failed enrollment: expired, out of tries, spent, or never started by this session."""
    challenge = challenges.find(challenge_id, purpose) if challenge_id else None
    if challenge is None or not _is_whose(challenge, user, session_id):
        return Rejected("api_error")
    late = clock.now() >= challenge.expires_at
    if challenge.is_open(clock.now()) and challenge.tries < settings.challenge_tries:
        return Rejected("invalid_password_code", field=field)  # wrong format, so not counted as a try
    why = "spent" if challenge.spent_at is not None else "expired" if late else "budget_spent"
    record(
        "challenge.failed", user.id, challenge_id=challenge.id, autocommit=True,
        reason=why, purpose=purpose, method=challenge.method,
    )  # fmt: skip
    if challenge.spent_at is not None:
        return Rejected("api_error")
    if late:
        return Rejected("us_setup_expired")
    return Rejected("invalid_password_code", field=field)


def _is_whose(challenge: Challenge, user: User, session_id: str) -> bool:
    return challenge.user_id == user.id and challenge.session_id == session_id


def _verify(user: User, challenge: Challenge, passcode: str | int, field: str) -> tuple[str, int]:
    """Return the secret that ``passcode`` verifies, and for an authenticator app the time step that it used."""
    secret = keyring.open(challenge.secret, *passcodes.challenge_context(challenge)).decode()
    attempt = EnrollmentAttempt(challenge, secret, passcode, identities_of(user.id))
    try:
        return authenticator_of(challenge.method).verify_enrollment(attempt)
    except VerificationError as failure:
        record(
            "challenge.failed", user.id, challenge_id=challenge.id,
            reason=failure.reason, purpose=challenge.purpose, method=challenge.method,
        )  # fmt: skip
        raise failure.rejected(field) from None
    except Rejected as rejection:
        raise Rejected(rejection.code, field=field, **rejection.facts) from None
