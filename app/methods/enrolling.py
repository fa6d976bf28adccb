"""Enrol: a method that is being set up, until a passcode proves it. Nothing is stored before that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.audit import record
from app.extensions import db, keyring, settings
from app.kit import addresses, clock
from app.kit.asking import Asker
from app.kit.refusals import Refused
from app.methods import authenticator, authenticators, challenges, codes, enrollment, password
from app.methods.challenges import Question
from app.methods.handles import challenge_id_of
from app.methods.models import Challenge
from app.methods.registry import REGISTRY
from app.methods.sendbudget import may_be_texted
from app.users import TypedIdentity, User, add_identity, drop_identity, find_by_identity, identities_of


@dataclass(frozen=True, slots=True)
class Enrollment:
    """A method being set up, unproved.

    :ivar secret: base32 key of an authenticator, shown until it is proved; "" for other methods
    """

    challenge: Challenge
    account: str
    secret: str = ""


def begin(
    user: User, method: str, phone: str | None, purpose: str, family: str, asker: Asker, *, replacing: bool = False
) -> Enrollment:
    """Begin to set up ``method``; the user's account stays as it is until it is proved.

    :param purpose: of the challenge; only who asks for the same one can prove it
    :param family: of the session that asks, or the id of the sign-in under way; no other can prove it
    :param replacing: whether what the user has of this method goes with the same request
    :raises Refused: ``us_method_not_available`` on ``chosen_method``; ``phone_invalid`` or
        ``identity_already_associated`` on ``phone``; ``authenticator_too_many``; ``too_many_messages``
    """
    if method == "authenticator" and not replacing:
        authenticators.require_room(authenticators.apps_of(user.id))
    mine = identities_of(user.id)
    destination, taken = mine.get(REGISTRY[method].reaches, ""), False
    if method == "sms":
        destination, taken = _number(phone, user)
    if method == "email" and not destination:
        raise Refused("us_method_not_available", field="chosen_method")
    secret = codes.new_secret()
    letter = "setup" if REGISTRY[method].sends else ""
    question = Question(
        purpose,
        method,
        user.id,
        "",
        destination,
        pending_secret=secret,
        lifetime=settings.us_setup_within,
        letter=letter,
        silent=taken,
        family=family,
        is_unproved=method == "sms" and destination != mine.get("phone"),
    )
    challenge = challenges.ask(question, asker)
    return Enrollment(challenge, account_name(mine), secret if method == "authenticator" else "")


def still_open(user: User, state: str, purpose: str, family: str) -> Enrollment | None:
    """Return the enrollment that ``state`` names if this session of the user can still prove it."""
    challenge_id = challenge_id_of(state)
    challenge = challenges.find(challenge_id, purpose) if challenge_id else None
    if challenge is None or not _is_whose(challenge, user, family) or not challenge.is_open(clock.now()):
        return None
    if challenge.tries >= settings.challenge_tries:
        return None
    key = ""
    if challenge.method == "authenticator" and challenge.secret:
        key = keyring.open(challenge.secret, *codes.challenge_context(challenge)).decode()
    return Enrollment(challenge, account_name(identities_of(user.id)), key)


def store(
    user: User,
    challenge: Challenge,
    passcode: str | int,
    family: str | None,
    field: str = "passcode",
    *,
    weak_until: datetime | None = None,
    as_second: bool = False,
    name: str = "",
) -> None:
    """Store the method that ``challenge`` is about if ``passcode`` proves it.

    The try was counted, and the user's row is held.
    :param family: of the session that sets it up, if one does
    :param field: of the form that has the passcode
    :param weak_until: end of the new method's cooldown; None when it has none
    :param as_second: it is set up as a second step, and no way to sign in
    :param name: of an authenticator app, checked; "" for the default
    :raises Refused: on ``field`` ``invalid_password_code``, ``totp_clock_off`` or a password's own refusal;
        ``api_error`` when another request was first; ``identity_already_associated`` when the number was taken
        meanwhile; ``authenticator_too_many``, and ``authenticator_name_inuse`` on ``name``
    """
    apps = authenticators.apps_of(user.id) if challenge.method == "authenticator" else []
    authenticators.require_room(apps)
    name = authenticators.name_for_new(apps, name)
    if challenge.method == "password":
        root, step = _hash_of(passcode, field, identities_of(user.id).values()), 0
    else:
        root, step = _proved(user, challenge, passcode, field)
    if not challenges.spend(challenge):
        raise Refused("api_error")
    if challenge.method == "sms":
        with db.session.begin_nested():  # a number taken meanwhile leaves the old one where it was
            drop_identity(user, "phone")
            add_identity(user, TypedIdentity("phone", challenge.destination), confirmed=True)
    if challenge.method == "authenticator":
        authenticators.add(
            apps, user.id, name, root, last_step=step, family=family, weak_until=weak_until, as_second=as_second
        )
    else:
        enrollment.replace(user.id, challenge.method, root, family=family, weak_until=weak_until)


def account_name(mine: dict[str, str]) -> str:
    """Return what an authenticator app calls the account."""
    return mine.get("email") or mine.get("username") or mine.get("phone", "")


def why_not(user: User, challenge_id: str, purpose: str, family: str, field: str = "passcode") -> Refused:
    """Tell an enrollment that took too long, or was guessed at, from a state that was never this session's."""
    challenge = challenges.find(challenge_id, purpose) if challenge_id else None
    if challenge is None or not _is_whose(challenge, user, family):
        return Refused("api_error")
    late = clock.now() >= challenge.expires_at
    if challenge.is_open(clock.now()) and challenge.tries < settings.challenge_tries:
        return Refused("invalid_password_code", field=field)  # it has not the form of a code, and counts as no try
    why = "spent" if challenge.spent_at is not None else "expired" if late else "budget_spent"
    facts: dict[str, Any] = {"reason": why, "purpose": purpose, "method": challenge.method}
    record("challenge.failed", user.id, challenge_id=challenge.id, at_once=True, **facts)
    if challenge.spent_at is not None:
        return Refused("api_error")
    if late:
        return Refused("us_setup_expired")
    return Refused("invalid_password_code", field=field)


def _is_whose(challenge: Challenge, user: User, family: str) -> bool:
    return challenge.user_id == user.id and challenge.family == family


def _hash_of(typed: str | int, field: str, names: Iterable[str]) -> str:
    """Return the hash of a new password."""
    try:
        return password.hash_password(str(typed), names)
    except Refused as refused:
        raise Refused(refused.code, field=field, **refused.facts) from None


def _proved(user: User, challenge: Challenge, passcode: str | int, field: str) -> tuple[str, int]:
    """Return the secret that ``passcode`` proves, and for an authenticator the step that it has used."""
    root = keyring.open(challenge.secret, *codes.challenge_context(challenge))
    step = 0
    if challenge.method == "authenticator":
        step = authenticator.proven_step(root.decode(), passcode, 0) or 0
        proved = step > 0
    else:
        typed = codes.tidy(passcode, codes.digits_of(challenge.method))
        live = clock.now() < challenge.passcode_expires_at and challenge.sends > 0
        proved = live and typed is not None and codes.passcode_matches(challenge, root, typed)
    if not proved:
        late = clock.now() >= challenge.passcode_expires_at and challenge.method != "authenticator"
        why = "expired" if late else "wrong_code"
        facts: dict[str, Any] = {"reason": why, "purpose": challenge.purpose, "method": challenge.method}
        record("challenge.failed", user.id, challenge_id=challenge.id, **facts)
        off = challenge.method == "authenticator" and authenticator.is_of_another_time(root.decode(), passcode)
        raise Refused("totp_clock_off" if off else "invalid_password_code", field=field)
    return root.decode(), step


def _number(phone: str | None, user: User) -> tuple[str, bool]:
    """Return the number, and whether somebody else has it; only explicit answers say so before it is proved."""
    try:
        number = addresses.phone(phone or "", settings.phone_region_default)
    except addresses.InvalidAddress:
        raise Refused("phone_invalid", field="phone") from None
    if not may_be_texted(number):
        raise Refused("phone_country_unavailable", field="phone")
    owner = find_by_identity(TypedIdentity("phone", number))
    if owner is not None and (owner.id == user.id or not settings.generic_responses):
        raise Refused("identity_already_associated", field="phone")
    return number, owner is not None
