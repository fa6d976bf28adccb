"""Accept an invitation: create an account for the email it was mailed to, or join its groups with an existing account.

The link was only mailed to that address, so anyone who has it can read that mailbox. That confirms the account (like a
confirmation link), and the page may say that there already is one.
"""

from __future__ import annotations

from app import throttling
from app.audit import record, signals
from app.authenticators import enrollments
from app.authenticators.base import VerifiedFactor
from app.authenticators.sent_codes import CONFIRMED, EmailCode
from app.client import ClientContext
from app.errors import Rejected
from app.extensions import db, settings
from app.invitations.models import Invitation
from app.invitations.service import accept, check_open, find_by_token
from app.login.pending import PendingState
from app.login.pipeline import SignIn, complete_sign_in
from app.sessions.models import AuthSession
from app.users import TypedIdentity, User, create_user, is_verified, release_unverified


def find_open(token: str) -> Invitation:
    """Return the invitation of a link, if it can be accepted. It isn't used up.

    :raises Rejected: ``invitation_invalid`` (404); ``invitation_revoked``, ``_used`` or ``_expired`` (410)
    """
    invitation = find_by_token(token)
    if invitation is None:
        raise Rejected("invitation_invalid", status=404)
    check_open(invitation)
    return invitation


def has_account(invitation: Invitation) -> bool:
    """Return whether the email that an invitation was mailed to has an account."""
    return bool(invitation.email) and is_verified(TypedIdentity("email", invitation.email))


def create_invited(invitation: Invitation, client: ClientContext) -> AuthSession | PendingState:
    """Create an account for the email that an invitation was mailed to, and sign this browser in.

    :raises Rejected: ``registration_closed`` (403), ``invitation_has_account``; ``too_many_requests``; like ``accept``
    """
    throttling.take("starts", client.ip_address)
    if settings.registration == "off":
        raise Rejected("registration_closed", status=403)
    if has_account(invitation):
        raise Rejected("invitation_has_account")
    user = _create_account(invitation)
    return complete_sign_in(SignIn(client, user=user, factors=(VerifiedFactor(CONFIRMED),)))


def join(invitation: Invitation, user: User) -> bool:
    """Join the groups of an invitation with the signed-in account; return False if it already did.

    :raises Rejected: like ``accept``
    """
    return accept(invitation, user.id)


def _create_account(invitation: Invitation) -> User:
    typed = TypedIdentity("email", invitation.email)
    with db.session.begin_nested():  # all or nothing
        release_unverified(typed)
        try:
            user = create_user(typed, confirmed=True)
        except Rejected:  # a concurrent click was faster
            raise Rejected("invitation_has_account") from None
        enrollments.enroll(user.id, EmailCode.name)
        record("account.created", user.id, invitation=invitation.id)
        record("address.confirmed", user.id, method=EmailCode.name, invitation=invitation.id)
        accept(invitation, user.id)
    signals.send(signals.user_registered, user=user, confirmation_token=None, form_data={})
    signals.send(signals.user_confirmed, user=user)
    return user
