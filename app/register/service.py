"""Registration: no account can be used before its email or phone number is verified.

The same work is done if there already is an account. What is written for it is rolled back before anyone can see it, so
neither timing nor statements reveal who has an account.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app import clock, throttling
from app.audit import record, signals
from app.authenticators import enrollments, password
from app.authenticators.base import VerifiedFactor
from app.authenticators.sent_codes import CONFIRMED, EmailCode, confirmed_by
from app.challenges.diagnosis import VerificationFailure
from app.challenges.magic_links import OpenedLink, open_link
from app.challenges.models import Challenge
from app.challenges.service import ChallengeRequest, issue_challenge, spend
from app.client import ClientContext
from app.crypto import secrets
from app.db import has_written, use_async_commit
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import db, settings
from app.invitations.models import Invitation
from app.invitations.service import accept_when_confirmed
from app.login import lookup
from app.login.initial_verification import verify_address
from app.login.lookup import Recipient
from app.login.pending import PendingState
from app.login.pipeline import SignIn, complete_sign_in
from app.login.verification import verify_passcode
from app.register.contact import Contact, method_for
from app.sessions.models import AuthSession
from app.users import TypedIdentity, User, create_user, find_by_identity, registration

CONFIRM = "confirm"


def register(
    contact: Contact,
    new_password: str | None,
    client: ClientContext,
    next_page: str = "",
    *,
    invitation: Invitation | None = None,
) -> Challenge:
    """Create an account for ``contact`` and send the code that confirms it, by email with a link; return its challenge.

    With generic responses, a contact that has an account gets the same response, and its owner a message saying so.

    :param invitation: invitation to register with if that is required, which is accepted once the account is confirmed
    :raises Rejected: ``registration_closed`` or ``invitation_required`` (403); like ``Contact.read_new``;
        ``password_...``, ``too_many_requests``, ``too_many_messages``; without generic responses
        ``email_already_associated`` or ``identity_already_associated``
    """
    closed = registration.why_closed()
    if closed and (invitation is None or settings.registration == "off"):
        raise Rejected(closed, status=403)
    throttling.take("starts", client.ip_address)
    typed = contact.read_new(invited=invitation is not None)
    hashed = password.hash_password(new_password, [typed.value]) if new_password else None
    found = lookup.look_up_recipient(typed, method_for(typed))
    if found is not None and not settings.generic_responses:
        code = "email_already_associated" if typed.kind == "email" else "identity_already_associated"
        raise Rejected(code, field=contact.field, email=typed.value)
    recipient = _ensure_account(typed, found)
    if recipient.user.confirmed_at is not None:
        signals.send(signals.user_not_registered, user=recipient.user, existing_email=True, existing_username=False)
        challenge = issue_challenge(
            _confirmation_request(recipient.user.id, typed, None, next_page, message_kind="already_registered"),
            client,
        )
    else:
        challenge = _send_confirmation(recipient, typed, client, next_page)
    if invitation is not None:
        with _savepoint(keep=recipient.user.confirmed_at is None):
            accept_when_confirmed(invitation, recipient.user.id)
    if hashed:
        _store_password(recipient, hashed, challenge.binding, client)
    return challenge


def send_again(contact: Contact, client: ClientContext, next_page: str = "") -> Challenge:
    """Send the confirmation again, to an email or number that isn't confirmed.

    :param next_page: where the user goes next; a challenge that is still open keeps its own
    :raises Rejected: ``too_many_requests``, ``too_many_messages``; without generic responses ``user_does_not_exist`` or
        ``already_confirmed``, for a number ``phone_unknown`` or ``phone_already_confirmed``
    """
    throttling.take("starts", client.ip_address)
    typed = contact.read()
    by_phone = typed.kind == "phone"
    recipient = lookup.look_up_recipient(typed, method_for(typed))
    if not settings.generic_responses and recipient is None:
        raise Rejected("phone_unknown" if by_phone else "user_does_not_exist", field=contact.field)
    if not settings.generic_responses and recipient is not None and recipient.user.confirmed_at is not None:
        raise Rejected("phone_already_confirmed" if by_phone else "already_confirmed", field=contact.field)
    if recipient is None or recipient.user.confirmed_at is not None or not recipient.user.is_active:
        user_id = recipient.user.id if recipient else None
        return issue_challenge(
            _confirmation_request(user_id, typed, None, next_page, message_kind="confirm", suppress=True), client
        )
    return _send_confirmation(recipient, typed, client, next_page)


def confirm_by_code(
    contact: Contact, passcode: str | int, client: ClientContext, *, remember: bool = False
) -> tuple[AuthSession | PendingState, Challenge]:
    """Confirm an email or number with the code sent to it, and sign the user in; also return the challenge.

    :raises Rejected: ``invalid_password_code`` on ``passcode``; ``too_many_requests``
    """
    throttling.check("failures", client.ip_address)
    typed = contact.read()
    user = find_by_identity(typed)
    user_id = user.id if user else None
    enrolled = enrollments.enrolled_of(user_id)
    result = verify_passcode(CONFIRM, user_id, typed.value, enrolled, passcode, client, sent_only=True)
    challenge, login_attempt = (
        (None, None) if isinstance(result, VerificationFailure) else (result.challenge, result.login_attempt)
    )
    if user is None or challenge is None or not user.is_active:
        throttling.take("failures", client.ip_address)
        failure = (
            result
            if isinstance(result, VerificationFailure)
            else VerificationFailure("refused", challenge.id if challenge else None)
        )
        facts: dict[str, Any] = {"reason": failure.reason, "error": "invalid_password_code", "purpose": CONFIRM}
        record("sign_in.failed", user_id, challenge_id=failure.challenge_id, autocommit=True, **facts)
        raise Rejected("invalid_password_code", field="passcode")
    verify_address(user, challenge, browsers=(challenge.binding, *client.bindings))
    has_second = any(row.is_second for row in enrolled)
    factor = VerifiedFactor(confirmed_by(challenge), challenge, login_attempt=login_attempt)
    sign_in = SignIn(client, remember, challenge.next, user=user, has_second=has_second, factors=(factor,))
    return complete_sign_in(sign_in, is_confirmed=True), challenge


def open_confirmation(token: str, client: ClientContext) -> tuple[OpenedLink, bool]:
    """Return the challenge of a confirmation link, and whether this is the browser that requested it.

    :raises Rejected: ``invalid_confirmation_token``, ``confirmation_expired`` or ``already_confirmed``
    """
    opened = open_link(token, CONFIRM)
    if opened is None or opened.user is None or not opened.user.is_active:
        raise Rejected("invalid_confirmation_token")
    if opened.user.confirmed_at is not None or opened.challenge.spent_at is not None:
        raise _link_rejected(opened, client, "spent", "already_confirmed")
    if not opened.challenge.is_open(clock.now()) or opened.has_expired:
        raise _link_rejected(opened, client, "expired", "confirmation_expired")
    is_same_browser = client.is_bound_to(opened.challenge.binding)
    return opened, is_same_browser


def confirm_by_link(token: str, client: ClientContext) -> tuple[User, AuthSession | PendingState | None]:
    """Confirm the address that ``token`` was emailed to; sign in only the browser that requested it.

    :raises Rejected: like ``open_confirmation``
    """
    opened, is_same_browser = open_confirmation(token, client)
    challenge, user = opened.challenge, opened.user
    assert user is not None  # open_confirmation has checked it
    if not spend(challenge):
        raise Rejected("already_confirmed")
    verify_address(user, challenge, browsers=client.bindings if is_same_browser else ())
    if not is_same_browser:
        return user, None
    factor = VerifiedFactor(CONFIRMED, challenge)
    sign_in = SignIn(client, next_page=challenge.next, user=user, has_second=opened.has_second, factors=(factor,))
    return user, complete_sign_in(sign_in, is_confirmed=True)


def _link_rejected(opened: OpenedLink, client: ClientContext, reason: str, code: str) -> Rejected:
    """Record why a link is no longer valid, once per network address in each window; return the error."""
    if throttling.first_in_window(f"link.{reason}", opened.challenge.id, client.ip_address):
        facts: dict[str, Any] = {"reason": reason, "purpose": CONFIRM, "method": EmailCode.name}
        record("challenge.failed", opened.challenge.user_id, challenge_id=opened.challenge.id, autocommit=True, **facts)
    return Rejected(code)


def _send_confirmation(
    recipient: Recipient, typed: TypedIdentity, client: ClientContext, next_page: str = ""
) -> Challenge:
    signals.send(signals.confirm_instructions_sent, user=recipient.user, confirmation_token=None)
    return issue_challenge(
        _confirmation_request(recipient.user.id, typed, recipient.enrolled, next_page, message_kind="confirm"),
        client,
    )


def _confirmation_request(
    user_id: int | None, typed: TypedIdentity, enrolled: Enrollment | None, next_page: str, **how: Any
) -> ChallengeRequest:
    """Return the request to confirm ``typed``: the same for every account, but it needs an enrolled method to succeed.

    A text message has no link, so its challenge lives no longer than its code.
    """
    lifetime = settings.confirm_email_within if typed.kind == "email" else None
    how |= {"lifetime": lifetime, "next": next_page, "is_unverified": True}
    return ChallengeRequest(CONFIRM, method_for(typed), user_id, typed.value, typed.value, enrolled, **how)


def _ensure_account(typed: TypedIdentity, found: Recipient | None) -> Recipient:
    """Create an account for ``typed`` unless one was ``found``; return the account it now has."""
    connection = db.session.connection()
    if not has_written(connection):
        use_async_commit(connection)  # anything lost in a power cut can be requested again
    value = typed.value if found is None else secrets.row_id()
    try:
        with _savepoint(keep=found is None):
            user = create_user(TypedIdentity(typed.kind, value))
            enrolled = enrollments.enroll(user.id, method_for(typed))
            record("account.created", user.id)
    except Rejected:
        # A concurrent request created it first. It belongs to the user who enters its code.
        found = lookup.look_up_recipient(typed, method_for(typed))
        if found is None:
            raise
    if found is not None:
        return found
    signals.send(signals.user_registered, user=user, confirmation_token=None, form_data={})
    return Recipient(user, enrolled, typed.value)


def _store_password(recipient: Recipient, hashed: str, binding: str, client: ClientContext) -> None:
    """Store a password for the browser it was entered in: only a confirmation there activates it.

    A confirmed account gets none; its owner adds one when signed in.

    :param binding: binding of the confirmation that was requested with it
    """
    with _savepoint(keep=recipient.user.confirmed_at is None):
        password.store_pending(recipient.user.id, hashed, binding, client.bindings)


@contextmanager
def _savepoint(*, keep: bool) -> Iterator[None]:
    """Roll back what is written in this block, unless ``keep`` is set and nothing is raised."""
    savepoint = db.session.begin_nested()
    try:
        yield
    except BaseException:
        savepoint.rollback()
        raise
    if keep:
        savepoint.commit()
    else:
        savepoint.rollback()
