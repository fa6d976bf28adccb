"""Enroll an authenticator: nothing is stored before a passcode has verified it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app import clock
from app.audit import record
from app.authenticators import enrollments, password, totp, totp_apps
from app.challenges import passcodes
from app.challenges import service as challenges
from app.challenges.models import Challenge, challenge_id_in
from app.challenges.service import ChallengeRequest
from app.challenges.service_budget import may_be_texted
from app.client import ClientContext
from app.enrollments.catalog import METHODS
from app.errors import Rejected
from app.extensions import db, keyring, settings
from app.users import TypedIdentity, User, add_identity, drop_identity, find_by_identity, identifiers, identities_of


@dataclass(frozen=True, slots=True)
class PendingEnrollment:
    """A method being set up, unproved.

    :ivar secret: base32 key of an authenticator, shown until it is proved; "" for other methods
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
    """Begin to set up ``method``; the user's account stays as it is until it is proved.

    :param purpose: of the challenge; only who asks for the same one can prove it
    :param session_id: of the session that asks, or the id of the sign-in under way; no other can prove it
    :param replacing: whether what the user has of this method goes with the same request
    :raises Rejected: ``us_method_not_available`` on ``chosen_method``; ``phone_invalid`` or
        ``identity_already_associated`` on ``phone``; ``authenticator_too_many``; ``too_many_messages``
    """
    if method == "authenticator" and not replacing:
        totp_apps.require_room(totp_apps.apps_of(user.id))
    mine = identities_of(user.id)
    destination, taken = mine.get(METHODS[method].reaches, ""), False
    if method == "sms":
        destination, taken = _number(phone, user)
    if method == "email" and not destination:
        raise Rejected("us_method_not_available", field="chosen_method")
    secret = passcodes.new_secret()
    letter = "setup" if METHODS[method].sends else ""
    question = ChallengeRequest(
        purpose,
        method,
        user.id,
        "",
        destination,
        pending_secret=secret,
        lifetime=settings.us_setup_within,
        letter=letter,
        silent=taken,
        session_id=session_id,
        is_unproved=method == "sms" and destination != mine.get("phone"),
    )
    challenge = challenges.issue_challenge(question, client)
    return PendingEnrollment(challenge, account_name(mine), secret if method == "authenticator" else "")


def still_open(user: User, state: str, purpose: str, session_id: str) -> PendingEnrollment | None:
    """Return the enrollment that ``state`` names if this session of the user can still prove it."""
    challenge_id = challenge_id_in(state)
    challenge = challenges.find(challenge_id, purpose) if challenge_id else None
    if challenge is None or not _is_whose(challenge, user, session_id) or not challenge.is_open(clock.now()):
        return None
    if challenge.tries >= settings.challenge_tries:
        return None
    key = ""
    if challenge.method == "authenticator" and challenge.secret:
        key = keyring.open(challenge.secret, *passcodes.challenge_context(challenge)).decode()
    return PendingEnrollment(challenge, account_name(identities_of(user.id)), key)


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
    """Store the method that ``challenge`` is about if ``passcode`` proves it.

    The try was counted, and the user's row is held.
    :param session_id: of the session that sets it up, if one does
    :param field: of the form that has the passcode
    :param weak_until: end of the new method's cooldown; None when it has none
    :param as_second: it is set up as a second step, and no way to sign in
    :param name: of an authenticator app, checked; "" for the default
    :raises Rejected: on ``field`` ``invalid_password_code``, ``totp_clock_off`` or a password's own refusal;
        ``api_error`` when another request was first; ``identity_already_associated`` when the number was taken
        meanwhile; ``authenticator_too_many``, and ``authenticator_name_inuse`` on ``name``
    """
    apps = totp_apps.apps_of(user.id) if challenge.method == "authenticator" else []
    totp_apps.require_room(apps)
    name = totp_apps.name_for_new(apps, name)
    if challenge.method == "password":
        root, step = _hash_of(passcode, field, identities_of(user.id).values()), 0
    else:
        root, step = _proved(user, challenge, passcode, field)
    if not challenges.spend(challenge):
        raise Rejected("api_error")
    if challenge.method == "sms":
        with db.session.begin_nested():  # a number taken meanwhile leaves the old one where it was
            drop_identity(user, "phone")
            add_identity(user, TypedIdentity("phone", challenge.destination), confirmed=True)
    if challenge.method == "authenticator":
        totp_apps.add(
            apps, user.id, name, root, last_step=step, session_id=session_id, weak_until=weak_until, as_second=as_second
        )
    else:
        enrollments.replace(user.id, challenge.method, root, session_id=session_id, weak_until=weak_until)


def account_name(mine: dict[str, str]) -> str:
    """Return what an authenticator app calls the account."""
    return mine.get("email") or mine.get("username") or mine.get("phone", "")


def why_not(user: User, challenge_id: str, purpose: str, session_id: str, field: str = "passcode") -> Rejected:
    """Tell an enrollment that took too long, or was guessed at, from a state that was never this session's."""
    challenge = challenges.find(challenge_id, purpose) if challenge_id else None
    if challenge is None or not _is_whose(challenge, user, session_id):
        return Rejected("api_error")
    late = clock.now() >= challenge.expires_at
    if challenge.is_open(clock.now()) and challenge.tries < settings.challenge_tries:
        return Rejected("invalid_password_code", field=field)  # it has not the form of a code, and counts as no try
    why = "spent" if challenge.spent_at is not None else "expired" if late else "budget_spent"
    facts: dict[str, Any] = {"reason": why, "purpose": purpose, "method": challenge.method}
    record("challenge.failed", user.id, challenge_id=challenge.id, at_once=True, **facts)
    if challenge.spent_at is not None:
        return Rejected("api_error")
    if late:
        return Rejected("us_setup_expired")
    return Rejected("invalid_password_code", field=field)


def _is_whose(challenge: Challenge, user: User, session_id: str) -> bool:
    return challenge.user_id == user.id and challenge.session_id == session_id


def _hash_of(typed: str | int, field: str, names: Iterable[str]) -> str:
    """Return the hash of a new password."""
    try:
        return password.hash_password(str(typed), names)
    except Rejected as refused:
        raise Rejected(refused.code, field=field, **refused.facts) from None


def _proved(user: User, challenge: Challenge, passcode: str | int, field: str) -> tuple[str, int]:
    """Return the secret that ``passcode`` proves, and for an authenticator the step that it has used."""
    root = keyring.open(challenge.secret, *passcodes.challenge_context(challenge))
    step = 0
    if challenge.method == "authenticator":
        step = totp.proven_step(root.decode(), passcode, 0) or 0
        proved = step > 0
    else:
        typed = passcodes.tidy(passcode, passcodes.digits_of(challenge.method))
        live = clock.now() < challenge.passcode_expires_at and challenge.sends > 0
        proved = live and typed is not None and passcodes.passcode_matches(challenge, root, typed)
    if not proved:
        late = clock.now() >= challenge.passcode_expires_at and challenge.method != "authenticator"
        why = "expired" if late else "wrong_code"
        facts: dict[str, Any] = {"reason": why, "purpose": challenge.purpose, "method": challenge.method}
        record("challenge.failed", user.id, challenge_id=challenge.id, **facts)
        off = challenge.method == "authenticator" and totp.is_of_another_time(root.decode(), passcode)
        raise Rejected("totp_clock_off" if off else "invalid_password_code", field=field)
    return root.decode(), step


def _number(phone: str | None, user: User) -> tuple[str, bool]:
    """Return the number, and whether somebody else has it; only explicit answers say so before it is proved."""
    try:
        number = identifiers.phone(phone or "", settings.phone_region_default)
    except identifiers.InvalidIdentifier:
        raise Rejected("phone_invalid", field="phone") from None
    if not may_be_texted(number):
        raise Rejected("phone_country_unavailable", field="phone")
    owner = find_by_identity(TypedIdentity("phone", number))
    if owner is not None and (owner.id == user.id or not settings.generic_responses):
        raise Rejected("identity_already_associated", field="phone")
    return number, owner is not None
