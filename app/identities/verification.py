"""Verify a new email address by the code or link sent to it."""

from __future__ import annotations

from typing import Any

from app import clock, throttling
from app.audit import record, signals
from app.authenticators.sent_codes import EmailCode, enroll_email_code
from app.challenges import passcodes
from app.challenges import service as challenges
from app.challenges.magic_links import open_link
from app.challenges.models import Challenge, challenge_id_in
from app.challenges.service import ChallengeRequest, end_others, latest_in_browser
from app.client import ClientContext
from app.enrollments.methods import method_of
from app.errors import Rejected
from app.extensions import db, settings
from app.identities.service import AFTER, notify_of_change
from app.login.credential_changes import lock_credentials
from app.sessions.models import AuthSession
from app.throttling import by_account
from app.users import (
    TypedIdentity,
    User,
    add_identity,
    emails_of,
    identifiers,
    is_verified,
    primary_email,
    registration,
    release_unverified,
    remove_identity,
)

CHANGE, ADD = "change_email", "add_email"
"""The new address replaces the primary one, or is added to the others."""


def request_verification(
    user: User, session: AuthSession, email: str, purpose: str, client: ClientContext
) -> Challenge:
    """Send a code and a link to a new address; it isn't stored until one of them is used.

    In generic mode an address that already has an account gets the same response, and an email that says so.
    :param purpose: ``CHANGE`` or ``ADD``
    :raises Rejected: on ``email`` ``invalid_email_address``, ``email_domain_not_allowed``, ``too_many_addresses`` and
        ``email_already_associated`` (for other accounts' addresses, only in explicit mode); ``too_many_requests``,
        ``too_many_messages``
    """
    throttling.take("starts", client.ip_address)
    typed, mine = _read_email(email), emails_of(user.id)
    if purpose == ADD and len(mine) >= settings.emails_per_account:
        raise Rejected("too_many_addresses", field="email", most=settings.emails_per_account)
    taken = is_verified(typed)
    registration.check_denied(typed.value)
    if typed.value in mine or (taken and not settings.generic_responses):
        raise Rejected("email_already_associated", field="email", email=typed.value)
    if purpose == CHANGE:
        end_others(user.id, CHANGE, typed.value)
    challenge_request = ChallengeRequest(
        purpose, EmailCode.name, user.id, typed.value, typed.value, pending_secret=passcodes.new_secret(),
        reuse_open=True, lifetime=settings.change_email_within, message_kind="address_taken" if taken else purpose,
        session_id=session.session_id, is_unverified=True,
    )  # fmt: skip
    challenge = challenges.issue_challenge(challenge_request, client)
    record("address.change_requested", user.id, challenge_id=challenge.id, purpose=purpose)
    signals.send(signals.change_email_instructions_sent, user=user, token=None, new_email=typed.value)
    return challenge


def open_change(user: User, session: AuthSession, client: ClientContext) -> Challenge | None:
    """Return this session's open request, by the browser or the challenge token it sent; None if there is none."""
    named = challenge_id_in(client.challenge_token) if client.challenge_token else None
    if named:
        found = challenges.find(named, CHANGE) or challenges.find(named, ADD)
    else:
        found = latest_in_browser(client, CHANGE, ADD)
    mine = found is not None and (found.user_id, found.session_id) == (user.id, session.session_id)
    return found if mine else None


def confirm_by_code(user: User, session: AuthSession, passcode: str | int, client: ClientContext) -> Challenge:
    """Add the new address to the account if this is the code that was sent to it.

    :raises Rejected: ``invalid_password_code`` or ``identity_already_associated`` on ``passcode``; ``api_error`` or
        ``change_email_expired`` on the form
    """
    pending = open_change(user, session, client)
    if (
        pending is not None
        and pending.is_open(clock.now())
        and passcodes.tidy(passcode, passcodes.digits_of(pending.method)) is None
    ):
        raise Rejected("invalid_password_code", field="passcode")
    challenge = (
        challenges.count_try_of(pending.id, user.id, pending.purpose, session.session_id, [EmailCode.name])
        if pending
        else None
    )
    if pending is None or challenge is None:
        raise _failure_of(user, pending)
    login_attempt = by_account.reserve(user.id, "", session_id=session.session_id)
    if login_attempt is None:
        raise Rejected("invalid_password_code", field="passcode")
    lock_credentials(user, session)
    live = clock.now() < challenge.passcode_expires_at and challenge.sends > 0
    if not (passcodes.answers(challenge, passcodes.root_of(challenge, None), passcode) and live):
        raise _failed(user, challenge, "wrong_code" if live else "expired")
    by_account.refund(login_attempt)
    _add_verified_address(user, session, challenge, client)
    return challenge


def inspect_link(token: str, session: AuthSession | None, client: ClientContext) -> tuple[Challenge, bool]:
    """Return the challenge of a link, and whether it was opened by the user and in the browser that requested it.

    :raises Rejected: ``api_error``, even in another session of that user there; ``change_email_expired``
    """
    opened = open_link(token, CHANGE) or open_link(token, ADD)
    if opened is None or opened.user is None or not opened.user.is_active or opened.challenge.spent_at is not None:
        raise Rejected("api_error")
    challenge = opened.challenge
    if not challenge.is_open(clock.now()) or opened.has_expired:
        if throttling.first_in_window("link.expired", challenge.id, client.ip_address):
            raise _failed(opened.user, challenge, "expired", "change_email_expired", field="")
        raise Rejected("change_email_expired")
    here = client.is_bound_to(challenge.binding)
    if not here or session is None or session.user_id != challenge.user_id:
        return challenge, False
    if session.session_id != challenge.session_id:
        raise Rejected("api_error")  # started in an earlier session here, maybe by another person
    return challenge, True


def confirm_by_link(user: User, session: AuthSession, challenge: Challenge, client: ClientContext) -> None:
    """Add the new address to the account, after ``inspect_link`` has checked that the link was opened here.

    :raises Rejected: ``api_error``, ``identity_already_associated``
    """
    lock_credentials(user, session)
    _add_verified_address(user, session, challenge, client)


def _add_verified_address(user: User, session: AuthSession, challenge: Challenge, client: ClientContext) -> None:
    """Store a verified address. If two accounts verify the same address concurrently, only one gets it."""
    if not challenges.spend(challenge):
        raise Rejected("api_error")
    typed, before = TypedIdentity("email", challenge.destination), primary_email(user.id)
    old = before if challenge.purpose == CHANGE else ""
    if not old and len(emails_of(user.id)) >= settings.emails_per_account:
        raise Rejected("too_many_addresses", field="passcode", most=settings.emails_per_account)
    release_unverified(typed)
    try:
        with db.session.begin_nested():  # if the address was taken meanwhile, the old one stays
            if old:
                remove_identity(user.id, "email", old)
            add_identity(user, typed, confirmed=True, primary=old != "" or not before)
    except Rejected as taken:
        raise Rejected(taken.code, field="passcode") from None
    if not before and method_of(EmailCode.name).is_enabled:
        enroll_email_code(user.id, session.session_id)
    if old:
        challenges.end_open(user.id)  # codes sent to the old address become invalid
    event = "address.change_confirmed" if old else "address.added"
    record(event, user.id, challenge_id=challenge.id)
    notify_of_change(user, session, AFTER[event], old, typed.value, before, client)
    signals.send(signals.change_email_confirmed, user=user, old_email=old or None)


def _failure_of(user: User, pending: Challenge | None) -> Rejected:
    """Return why a request can no longer be confirmed: expired, too many attempts, or not this user's."""
    if pending is None or pending.spent_at is not None:
        return Rejected("api_error")
    if clock.now() >= pending.expires_at:
        return _failed(user, pending, "expired", "change_email_expired", field="")
    return _failed(user, pending, "budget_spent")


def _failed(
    user: User, challenge: Challenge, why: str, code: str = "invalid_password_code", field: str = "passcode"
) -> Rejected:
    facts: dict[str, Any] = {"reason": why, "purpose": challenge.purpose, "method": challenge.method}
    record("challenge.failed", user.id, challenge_id=challenge.id, autocommit=True, **facts)
    return Rejected(code, field=field)


def _read_email(email: str) -> TypedIdentity:
    try:
        return TypedIdentity("email", identifiers.email(email))
    except identifiers.InvalidIdentifier:
        raise Rejected("invalid_email_address", field="email") from None
