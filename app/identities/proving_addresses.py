"""A new address is proved before it is anybody's: by the code or the link in a mail that goes there."""

from __future__ import annotations

from typing import Any

from app import limits
from app.audit import record, signals
from app.extensions import db, settings
from app.identities.telling import AFTER, told
from app.kit import addresses, clock
from app.kit.asking import Asker
from app.kit.refusals import Refused
from app.methods import Challenge, challenges, codes, enrollment
from app.methods.challenges import Question, latest_in_browser
from app.methods.handles import challenge_id_of
from app.methods.links import has_expired, open_link
from app.methods.registry import enabled_methods
from app.methods.superseding import end_others
from app.sessions import guesses
from app.sessions.changing import take_turns
from app.sessions.models import AuthSession
from app.users import (
    TypedIdentity,
    User,
    add_identity,
    drop_value,
    emails_of,
    free_unproved,
    is_proved,
    primary_email,
)

CHANGE, ADD = "change_email", "add_email"
"""The new address takes the place of the primary one, or stands beside the others."""


def ask(user: User, session: AuthSession, email: str, purpose: str, asker: Asker) -> Challenge:
    """Send a code and a link to an address that is to be the user's; nothing is stored before they are used.

    In generic mode an address that is somebody's gets the same answer, and a mail that says so.
    :param purpose: ``CHANGE`` or ``ADD``
    :raises Refused: on ``email`` ``invalid_email_address``, ``too_many_addresses``, ``email_already_associated``
        (of others in explicit mode alone); ``too_many_requests``, ``too_many_messages``
    """
    limits.take("starts", asker.address)
    typed, mine = _read(email), emails_of(user.id)
    if purpose == ADD and len(mine) >= settings.emails_per_account:
        raise Refused("too_many_addresses", field="email", most=settings.emails_per_account)
    taken = is_proved(typed)
    if typed.value in mine or (taken and not settings.generic_responses):
        raise Refused("email_already_associated", field="email", email=typed.value)
    if purpose == CHANGE:
        end_others(user.id, CHANGE, typed.value)
    question = Question(
        purpose, "email", user.id, typed.value, typed.value, pending_secret=codes.new_secret(), again=True,
        lifetime=settings.change_email_within, letter="address_taken" if taken else purpose, family=session.family,
        is_unproved=True,
    )  # fmt: skip
    challenge = challenges.ask(question, asker)
    record("address.change_requested", user.id, challenge_id=challenge.id, purpose=purpose)
    signals.send(signals.change_email_instructions_sent, user=user, token=None, new_email=typed.value)
    return challenge


def waiting(user: User, session: AuthSession, asker: Asker) -> Challenge | None:
    """Return the request of this session that this browser waits with, or this program names; None without one."""
    named = challenge_id_of(asker.challenge) if asker.challenge else None
    if named:
        found = challenges.find(named, CHANGE) or challenges.find(named, ADD)
    else:
        found = latest_in_browser(asker, CHANGE, ADD)
    mine = found is not None and (found.user_id, found.family) == (user.id, session.family)
    return found if mine else None


def confirm_by_code(user: User, session: AuthSession, passcode: str | int, asker: Asker) -> Challenge:
    """Give the user the address whose mail has this code.

    :raises Refused: ``invalid_password_code`` or ``identity_already_associated`` on ``passcode``; ``api_error`` or
        ``change_email_expired`` on the form
    """
    asked = waiting(user, session, asker)
    if asked is not None and asked.is_open(clock.now()) and codes.tidy(passcode, codes.digits_of("email")) is None:
        raise Refused("invalid_password_code", field="passcode")
    challenge = challenges.count_try_of(asked.id, user.id, asked.purpose, session.family, ["email"]) if asked else None
    if asked is None or challenge is None:
        raise _why_not(user, asked)
    guess = guesses.reserve(user.id, "", family=session.family)
    if guess is None:
        raise Refused("invalid_password_code", field="passcode")
    take_turns(user, session)
    live = clock.now() < challenge.passcode_expires_at and challenge.sends > 0
    if not (codes.answers(challenge, codes.root_of(challenge, None), passcode) and live):
        raise _failed(user, challenge, "wrong_code" if live else "expired")
    guesses.give_back(guess)
    _give(user, session, challenge, asker)
    return challenge


def look_at_link(token: str, session: AuthSession | None, asker: Asker) -> tuple[Challenge, bool]:
    """Return what a link is about, and whether it was opened where it was asked for, by who asked.

    :raises Refused: ``api_error``, also in another session of theirs there; ``change_email_expired``
    """
    opened = open_link(token, CHANGE) or open_link(token, ADD)
    if opened is None or opened.user is None or not opened.user.is_active or opened.challenge.spent_at is not None:
        raise Refused("api_error")
    challenge = opened.challenge
    if not challenge.is_open(clock.now()) or has_expired(token):
        if limits.is_news("link.expired", challenge.id, asker.address):
            raise _failed(opened.user, challenge, "expired", "change_email_expired", field="")
        raise Refused("change_email_expired")
    here = asker.is_bound_to(challenge.binding)
    if not here or session is None or session.user_id != challenge.user_id:
        return challenge, False
    if session.family != challenge.family:
        raise Refused("api_error")  # begun before it signed in: whoever did may have been somebody else
    return challenge, True


def confirm_by_link(user: User, session: AuthSession, challenge: Challenge, asker: Asker) -> None:
    """Give the user the address whose mail has this link, after ``look_at_link`` has found it opened here.

    :raises Refused: ``api_error``, ``identity_already_associated``
    """
    take_turns(user, session)
    _give(user, session, challenge, asker)


def _give(user: User, session: AuthSession, challenge: Challenge, asker: Asker) -> None:
    """Store a proved address; of two accounts that prove one address at the same moment, one gets it."""
    if not challenges.spend(challenge):
        raise Refused("api_error")
    typed, before = TypedIdentity("email", challenge.destination), primary_email(user.id)
    old = before if challenge.purpose == CHANGE else ""
    if not old and len(emails_of(user.id)) >= settings.emails_per_account:
        raise Refused("too_many_addresses", field="passcode", most=settings.emails_per_account)
    free_unproved(typed)
    try:
        with db.session.begin_nested():  # an address taken meanwhile leaves the old one where it was
            if old:
                drop_value(user.id, "email", old)
            add_identity(user, typed, confirmed=True, primary=old != "" or not before)
    except Refused as taken:
        raise Refused(taken.code, field="passcode") from None
    if not before and "email" in enabled_methods() and not _has_mail(user.id):
        enrollment.enroll(user.id, "email", family=session.family)
    if old:
        challenges.end_open(user.id)  # what was sent to the old address is good no more
    event = "address.change_confirmed" if old else "address.added"
    record(event, user.id, challenge_id=challenge.id)
    told(user, session, AFTER[event], old, typed.value, before, asker)
    signals.send(signals.change_email_confirmed, user=user, old_email=old or None)


def _has_mail(user_id: int) -> bool:
    return any(row.method == "email" for row in enrollment.enrolled_of(user_id))


def _why_not(user: User, asked: Challenge | None) -> Refused:
    """Tell a request that took too long, or was guessed at, from one that was never this user's."""
    if asked is None or asked.spent_at is not None:
        return Refused("api_error")
    if clock.now() >= asked.expires_at:
        return _failed(user, asked, "expired", "change_email_expired", field="")
    return _failed(user, asked, "budget_spent")


def _failed(
    user: User, challenge: Challenge, why: str, code: str = "invalid_password_code", field: str = "passcode"
) -> Refused:
    facts: dict[str, Any] = {"reason": why, "purpose": challenge.purpose, "method": "email"}
    record("challenge.failed", user.id, challenge_id=challenge.id, at_once=True, **facts)
    return Refused(code, field=field)


def _read(email: str) -> TypedIdentity:
    try:
        return TypedIdentity("email", addresses.email(email))
    except addresses.InvalidAddress:
        raise Refused("invalid_email_address", field="email") from None
