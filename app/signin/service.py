"""Send a sign-in code, and tell a known browser if the code can't be delivered."""

from __future__ import annotations

from app import clock, throttling
from app.audit import signals
from app.challenges.approvals import RequestedChallenge
from app.challenges.magic_links import may_register
from app.challenges.models import Challenge
from app.challenges.service import ChallengeRequest, issue_challenge
from app.client import ClientContext
from app.enrollments.methods import code_methods, method_of, methods_reaching
from app.errors import Rejected
from app.extensions import settings
from app.login import lookup
from app.login.pipeline import PURPOSE
from app.outbox import suppressions
from app.outbox.service import MAIL
from app.sessions.known_devices import find_known_digest
from app.users import TypedIdentity, get_identity


def send_code(identity: str, chosen: str | None, client: ClientContext, next_page: str = "") -> RequestedChallenge:
    """Send a passcode to the user of ``identity``, and return its challenge.

    In generic mode the result looks the same for everyone: unreachable and unknown people get a decoy.
    :param chosen: the method; None to choose one that fits the identity
    :raises Rejected: ``identity_invalid``, ``us_method_not_available``, ``too_many_requests``; in explicit mode also
        why nothing was sent
    """
    typed = get_identity(identity)
    throttling.take("starts", client.ip_address, looks_up=False)
    method = chosen or _method_for(typed)
    if method not in code_methods():
        raise Rejected("us_method_not_available", field="chosen_method")
    recipient, penalized_until = lookup.look_up_with_penalty(
        typed, method, client.known_secrets, throttling.bucket_of(client.ip_address)
    )
    throttling.reject_penalized("starts", client.ip_address, penalized_until)
    if not settings.generic_responses:
        _reject_unreachable(recipient, method)
    kind_without_account = _kind_without_account(typed, method)  # always, since parsing a phone number takes time
    if recipient is None or not recipient.can_receive or not recipient.user.is_active:
        user_id = recipient.user.id if recipient else None  # so that later attempts count against this challenge
        kind = kind_without_account if recipient is None else _kind_if_closed(recipient, method)
        to = recipient.destination if recipient is not None and kind else typed.value
        decoy = ChallengeRequest(
            PURPOSE, method, user_id, typed.value, to,
            message_kind=kind or "sign_in", suppress=not kind, next=next_page,
        )  # fmt: skip
        return RequestedChallenge(issue_challenge(decoy, client))
    user = recipient.user
    challenge_request = ChallengeRequest(
        PURPOSE, method, user.id, typed.value, recipient.destination, recipient.enrolled,
        message_kind="sign_in", next=next_page, is_known=recipient.is_known,
        is_verified_user=user.confirmed_at is not None,
    )  # fmt: skip
    signals.send(signals.us_security_token_sent, user=user, method=method, send_magic_link=method_of(method).has_link)
    return RequestedChallenge(issue_challenge(challenge_request, client), recipient.enrolled, user)


def shows_undelivered(challenge: Challenge, client: ClientContext) -> bool:
    """Return whether to tell this browser that the code of ``challenge`` can't be delivered.

    Only browsers known to the account are told; all others get the same response as for any address. No statement for a
    browser that no account knows, and one for a browser that this account doesn't know.
    """
    if challenge.user_id is None or not client.known_secrets or method_of(challenge.method).sends != MAIL:
        return False
    if not find_known_digest(challenge.user_id, client.known_secrets):
        return False
    return bool(suppressions.reasons_for({challenge.destination}))


def _method_for(typed: TypedIdentity) -> str:
    """Return the method that sends to this kind of identity, or else the first that sends codes; "" if none does."""
    return next(iter([*methods_reaching(typed.kind), *code_methods()]), "")


def _kind_without_account(typed: TypedIdentity, method: str) -> str:
    """Return the message for people without an account: it creates one, or says that there is none; "" for none."""
    if may_register(typed, method):
        return "create_account"
    return "no_account" if _mails_unknown(typed, method) else ""


def _kind_if_closed(recipient: lookup.Recipient, method: str) -> str:
    """Return the email that tells the owner of an account scheduled for deletion how to keep it; "" for none."""
    user = recipient.user
    closed = user.deletes_at is not None and user.deletes_at > clock.now() and user.disabled_at is None
    gets_email = closed and user.confirmed_at is not None and recipient.destination != ""
    return "account_closed" if gets_email and method_of(method).has_link else ""


def _mails_unknown(typed: TypedIdentity, method: str) -> bool:
    """Return whether to email people that they have no account."""
    return settings.mail_unknown and method_of(method).reaches == typed.kind == "email"


def _reject_unreachable(recipient: lookup.Recipient | None, method: str) -> None:
    if recipient is None:
        raise Rejected("us_specify_identity", field="identity")
    if recipient.user.confirmed_at is None:
        raise Rejected("confirmation_required", field="identity")
    if method_of(method).owns_identity and recipient.enrolled is not None and not recipient.destination:
        raise Rejected("phone_invalid", field="chosen_method")
    if recipient.enrolled is None:
        raise Rejected("us_method_not_available", field="chosen_method")
