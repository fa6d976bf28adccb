"""Set up second factors: enrol one or mark one that is there, once it is proved; switch the second step off."""

from __future__ import annotations

from typing import Any

from app import limits
from app.audit import record, signals
from app.extensions import settings
from app.kit import addresses, clock
from app.kit.asking import Asker
from app.kit.refusals import Refused
from app.methods import (
    Challenge,
    EnrolledMethod,
    authenticator,
    authenticators,
    challenges,
    codes,
    enrolling,
    enrollment,
    notices,
    probation,
    second,
)
from app.methods.challenges import Question
from app.methods.enrolling import Enrollment
from app.methods.handles import challenge_id_of, handle_of
from app.methods.passkeys import signs_in_alone
from app.methods.showing import TITLES
from app.sessions import guesses, pending
from app.sessions.freshness import freshen
from app.sessions.models import AuthSession
from app.sessions.pending import Waiting
from app.setup.flow import shut_out_others, take_turns
from app.users import User, identities_of

EXISTING = "existing"
"""Stands where an identity would: proving what is set up already is another question than setting it up."""


def begin(
    user: User, session: AuthSession, method: str, phone: str | None, asker: Asker, *, existing: bool = False
) -> Enrollment:
    """Begin to make ``method`` a second factor: a new one, or with ``existing`` the one that is set up already.

    One's own number is the existing one, said or not. Nothing changes before this session proves it.
    :raises Refused: ``two_factor_method_not_available`` or ``two_factor_only_way`` on ``setup``; ``phone_invalid`` and
        what else may be wrong with a number on ``phone``; ``too_many_requests``
    """
    enrolled = enrollment.enrolled_of(user.id)
    _allow(user, method, enrolled)
    limits.take("starts", asker.address)
    mine = identities_of(user.id)
    row = next((each for each in enrolled if each.method == method), None)
    if row is not None and (existing or _is_mine(method, phone, mine)):
        sends = method == "sms"
        more: dict[str, Any] = {"enrolled": row, "is_known": True, "letter": "second" if sends else ""}
        more |= {"lifetime": settings.us_setup_within, "destination": mine.get("phone", "") if sends else ""}
        question = Question(second.SETUP_PURPOSE, method, user.id, EXISTING, family=session.family, **more)
        begun = Enrollment(challenges.ask(question, asker), enrolling.account_name(mine))
    else:
        begun = enrolling.begin(user, method, phone, second.SETUP_PURPOSE, session.family, asker)
    _signal_sent(user, method)
    return begun


def begin_on_the_way_in(waiting: Waiting, method: str, phone: str | None, asker: Asker) -> Enrollment:
    """Begin to set up the second factor without which this sign-in ends; its code goes to ``/tf-validate``.

    :raises Refused: as ``begin``; ``two_factor_permission_denied`` when the account has one by now
    """
    user = waiting.user
    enrolled = enrollment.enrolled_of(user.id)
    if waiting.row.state != second.SETUP or any(row.is_second for row in enrolled):
        raise Refused("two_factor_permission_denied")
    _allow(user, method, enrolled)
    limits.take("starts", asker.address)
    begun = enrolling.begin(user, method, phone, second.SETUP_PURPOSE, waiting.row.id, asker)
    _signal_sent(user, method)
    pending.note_question(waiting, method, begun.challenge.id, second.SETUP)
    return begun


def still_open(user: User, session: AuthSession, state: str) -> Enrollment | None:
    """Return what ``state`` names if this session can still prove it."""
    return enrolling.still_open(user, state, second.SETUP_PURPOSE, session.family)


def still_open_on_the_way_in(waiting: Waiting) -> Enrollment | None:
    """Return the second factor that this sign-in has begun to set up, while it can still be proved."""
    if waiting.row.question_id is None:
        return None
    return enrolling.still_open(waiting.user, handle_of(waiting.row.question_id), second.SETUP_PURPOSE, waiting.row.id)


def confirm(user: User, session: AuthSession, state: str, code: str | int, asker: Asker, name: str = "") -> Challenge:
    """Ask for the method that ``state`` names as a second step from now on, if ``code`` proves it.

    Every other session ends, and no browser is trusted any more.
    :param name: of a new authenticator app; "" for the default. One that won't do is refused before a try is counted
    :raises Refused: ``api_error`` or ``two_factor_setup_expired`` on the form; ``two_factor_invalid_token`` on
        ``code``; what is wrong with it on ``name``; what ``begin`` refuses
    """
    name = authenticators.checked_for_new(user.id, name)
    challenge_id = challenge_id_of(state) or ""
    fitting = codes.methods_fitting(code)
    challenge = challenges.count_try_of(challenge_id, user.id, second.SETUP_PURPOSE, session.family, fitting)
    if challenge is None:
        raise _reworded(enrolling.why_not(user, challenge_id, second.SETUP_PURPOSE, session.family, "code"))
    guess = guesses.reserve(user.id, "", family=session.family)
    if guess is None:
        raise Refused("two_factor_invalid_token", field="code")
    take_turns(user, session)
    enrolled = enrollment.enrolled_of(user.id)
    _allow(user, challenge.method, enrolled)
    held = _prove(user, challenge, enrolled, code, session, name)
    guesses.give_back(guess)
    enrollment.mark_second(user.id, challenge.method)
    freshen(session, challenge.method, held=held)
    shut_out_others(user, session, asker)
    _tell(user, session, "second_step.on", challenge.method, asker, challenge.id)
    signals.send(signals.tf_profile_changed, user=user, method=challenge.method)
    return challenge


def disable(user: User, session: AuthSession, asker: Asker) -> None:
    """Ask this user for no second step any more; what was one stays a way to sign in.

    :raises Refused: ``two_factor_method_not_available`` on ``setup`` where everybody must have one
    """
    if settings.second_factor == "required":
        raise Refused("two_factor_method_not_available", field="setup")
    take_turns(user, session)
    if enrollment.unmark_seconds(user.id):
        shut_out_others(user, session, asker)
        _tell(user, session, "second_step.off", "", asker)
        signals.send(signals.tf_disabled, user=user)


def _signal_sent(user: User, method: str) -> None:
    if method == "sms":
        signals.send(signals.tf_security_token_sent, user=user, method=method)


def _allow(user: User, method: str, enrolled: list[EnrolledMethod]) -> None:
    if method not in second.seconds_enabled() or method == "webauthn" or settings.second_factor == "off":
        raise Refused("two_factor_method_not_available", field="setup")
    if user.confirmed_at is None:
        raise Refused("confirmation_required", field="setup")
    marked = [row.method for row in enrolled if row.is_second]
    adding = method
    if method == "authenticator":  # as a second step it signs nobody in, unless its owner has said so (ADR 37)
        enrolled, adding = [row for row in enrolled if row.method != method or row.signs_in], ""
    if not second.leaves_a_way_in(enrolled, [*marked, method], adding=adding) and not signs_in_alone(user.id):
        raise Refused("two_factor_only_way", field="setup")


def _prove(
    user: User, challenge: Challenge, enrolled: list[EnrolledMethod], code: str | int, session: AuthSession, name: str
) -> bool:
    """Return whether what ``code`` proves is in its cooldown; a new app or phone is stored."""
    if challenge.secret:
        weak_until = probation.ends_at(session, enrolled)
        try:
            enrolling.store(
                user, challenge, code, session.family, "code", weak_until=weak_until, as_second=True, name=name
            )
        except Refused as refused:
            raise _reworded(refused) from None
        record("factor.added", user.id, challenge_id=challenge.id, method=challenge.method)
        return weak_until is not None
    rows = [row for row in enrolled if row.method == challenge.method]
    if challenge.method == "authenticator":
        proved = next((row for row in rows if authenticator.accept(row, code)), None)
    else:
        live = clock.now() < challenge.passcode_expires_at and challenge.sends > 0
        asked = [row for row in rows if row.id == challenge.enrolled_id and live]
        proved = next((row for row in asked if codes.answers(challenge, codes.root_of(challenge, row), code)), None)
    if proved is None:
        facts: dict[str, Any] = {"reason": "wrong_code", "purpose": challenge.purpose, "method": challenge.method}
        record("challenge.failed", user.id, challenge_id=challenge.id, **facts)
        raise Refused("two_factor_invalid_token", field="code")
    if not challenges.spend(challenge):
        raise Refused("api_error")
    return proved.in_cooldown(clock.now())


def _is_mine(method: str, phone: str | None, mine: dict[str, str]) -> bool:
    """Say whether a number is the one that is set up already; so is none."""
    if method != "sms":
        return False
    try:
        return not phone or addresses.phone(phone, settings.phone_region_default) == mine.get("phone")
    except addresses.InvalidAddress:
        return False


def _reworded(refused: Refused) -> Refused:
    """Return a set-up's refusal in the words of the second step."""
    words = {"invalid_password_code": "two_factor_invalid_token", "us_setup_expired": "two_factor_setup_expired"}
    return Refused(words.get(refused.code, refused.code), refused.field, refused.status, **refused.facts)


def _tell(user: User, session: AuthSession, event: str, name: str, asker: Asker, its_id: str | None = None) -> None:
    record(event, user.id, challenge_id=its_id, method=name)
    how = f"Signing in asks for a second step from now on: {TITLES[name]}." if name else ""
    notices.tell(user.id, how or "Signing in asks for no second step any more.", asker, family=session.family)
