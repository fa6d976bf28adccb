"""Send a sign-in code, and tell a known browser if the code can't be delivered."""

from __future__ import annotations

from app import clock, throttling
from app.audit import signals
from app.challenges.approvals import OpenApproval
from app.challenges.magic_links import may_register
from app.challenges.models import Challenge
from app.challenges.service import ChallengeRequest, issue_challenge
from app.client import ClientContext
from app.enrollments.catalog import code_methods, method_of, methods_reaching
from app.errors import Rejected
from app.extensions import settings
from app.login import lookup
from app.login.pipeline import PURPOSE
from app.outbox import suppressions
from app.outbox.service import MAIL
from app.sessions.known_devices import find_known_digest
from app.users import TypedIdentity, get_identity


def send_code(identity: str, chosen: str | None, client: ClientContext, next_page: str = "") -> OpenApproval:
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
    reached, penalized_until = lookup.look_up_method(
        typed, method, client.known_secrets, throttling.bucket_of(client.ip_address)
    )
    throttling.reject_penalized("starts", client.ip_address, penalized_until)
    if not settings.generic_responses:
        _say_why_not(reached, method)
    for_strangers = _kind_for_strangers(typed, method)  # always, since parsing a phone number takes time
    identity_value = typed.value
    if reached is None or reached.enrolled is None or not reached.destination or not reached.user.is_active:
        whom = reached.user.id if reached else None  # so that later attempts count against this challenge
        kind = for_strangers if reached is None else _kind_for_closed(reached, method)
        to = reached.destination if reached is not None and kind else identity_value
        decoy = ChallengeRequest(
            PURPOSE, method, whom, identity_value, to, message_kind=kind or "sign_in", suppress=not kind, next=next_page
        )
        return OpenApproval(issue_challenge(decoy, client))
    challenge_request = ChallengeRequest(
        PURPOSE,
        method,
        reached.user.id,
        identity_value,
        reached.destination,
        reached.enrolled,
        next=next_page,
        message_kind="sign_in",
        is_known=reached.is_known,
        is_verified_user=reached.user.confirmed_at is not None,
    )
    signals.send(
        signals.us_security_token_sent, user=reached.user, method=method, send_magic_link=method_of(method).has_link
    )
    return OpenApproval(issue_challenge(challenge_request, client), reached.enrolled, reached.user)


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


def _kind_for_strangers(typed: TypedIdentity, method: str) -> str:
    """Return the message for people without an account: it creates one, or says that there is none; "" for none."""
    if may_register(typed, method):
        return "create_account"
    return "no_account" if _tells_strangers(typed, method) else ""


def _kind_for_closed(reached: lookup.Destination, method: str) -> str:
    """Return the email that tells the owner of an account scheduled for deletion how to keep it; "" for none."""
    user = reached.user
    closed = user.deletes_at is not None and user.deletes_at > clock.now() and user.disabled_at is None
    gets_email = closed and user.confirmed_at is not None and reached.destination != ""
    return "account_closed" if gets_email and method_of(method).has_link else ""


def _tells_strangers(typed: TypedIdentity, method: str) -> bool:
    """Return whether to email people that they have no account."""
    return settings.mail_unknown and method_of(method).reaches == typed.kind == "email"


def _say_why_not(reached: lookup.Destination | None, method: str) -> None:
    if reached is None:
        raise Rejected("us_specify_identity", field="identity")
    if reached.user.confirmed_at is None:
        raise Rejected("confirmation_required", field="identity")
    if method_of(method).owns_identity and reached.enrolled is not None and not reached.destination:
        raise Rejected("phone_invalid", field="chosen_method")
    if reached.enrolled is None:
        raise Rejected("us_method_not_available", field="chosen_method")
