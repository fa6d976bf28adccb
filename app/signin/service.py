"""Sign in: send a code, verify it, create a session."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NoReturn

from app import clock, throttling
from app.audit import record, signals
from app.authenticators.base import VerifiedFactor
from app.challenges.approvals import OpenApproval
from app.challenges.diagnosis import VerificationFailure
from app.challenges.magic_links import may_register
from app.challenges.service import ChallengeRequest, issue_challenge
from app.client import ClientContext
from app.enrollments.catalog import METHODS, code_methods
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import settings
from app.login import lookup
from app.login.completion import complete_login
from app.login.initial_verification import PROVE_NO_ADDRESS, verify_address
from app.login.new_accounts import open_account
from app.login.pending import PendingState
from app.login.verification import verify_passcode
from app.sessions.models import AuthSession
from app.throttling.by_account import refund
from app.users import TypedIdentity, User, get_identity

PURPOSE = "sign_in"


def send_code(identity: str, chosen: str | None, client: ClientContext, next_page: str = "") -> OpenApproval:
    """Send a passcode to whom ``identity`` names, and return the challenge that it answers.

    In generic mode the outcome is the same for everybody: who cannot be reached gets a decoy.
    :param chosen: the method; None for the one that fits what was typed
    :raises Rejected: ``identity_invalid``, ``too_many_requests``; in explicit mode also why nothing was sent
    """
    typed = get_identity(identity)
    throttling.take("starts", client.ip_address, looks_up=False)
    method = chosen or _method_for(typed)
    if method not in code_methods():
        raise Rejected("us_method_not_available", field="chosen_method")
    reached, held = lookup.look_up_method(typed, method, client.known_secrets, throttling.bucket_of(client.ip_address))
    throttling.stop("starts", client.ip_address, held)
    if not settings.generic_responses:
        _say_why_not(reached, method)
    spoken = typed.value
    if reached is None or reached.enrolled is None or not reached.destination or not reached.user.is_active:
        whom = reached.user.id if reached else None  # so that what is counted later meets what was asked for now
        letter = _letter_for_strangers(typed, method) if reached is None else _letter_for_closed(reached, method)
        to = reached.destination if reached is not None and letter else spoken
        decoy = ChallengeRequest(
            PURPOSE, method, whom, spoken, to, letter=letter or "sign_in", silent=not letter, next=next_page
        )
        return OpenApproval(issue_challenge(decoy, client))
    question = ChallengeRequest(
        PURPOSE,
        method,
        reached.user.id,
        spoken,
        reached.destination,
        reached.enrolled,
        next=next_page,
        letter="sign_in",
        is_known=reached.is_known,
        is_person=reached.user.confirmed_at is not None,
    )
    signals.send(signals.us_security_token_sent, user=reached.user, method=method, send_magic_link=method == "email")
    return OpenApproval(issue_challenge(question, client), reached.enrolled, reached.user)


def sign_in(
    identity: str, passcode: str | int | None, client: ClientContext, *, remember: bool, next_page: str = ""
) -> AuthSession | PendingState:
    """Sign in whom ``identity`` names, if ``passcode`` answers one of their methods.

    :raises Rejected: ``identity_invalid``; ``generic_authn_failed``, or in explicit mode what was wrong;
        ``too_many_requests``
    """
    throttling.allow("failures", client.ip_address)
    typed = get_identity(identity) if identity.strip() else None
    known = lookup.look_up(typed, client.known_secrets)
    user = known.user
    user_id = user.id if user else None
    spoken = typed.value if typed else ""
    proof: VerifiedFactor | VerificationFailure = VerificationFailure()
    if passcode not in (None, ""):
        browser = known.browser
        proof = verify_passcode(PURPOSE, user_id, spoken, known.enrolled, passcode, client, browser=browser)
    if user is None and isinstance(proof, VerifiedFactor) and proof.challenge is not None:
        return join(proof, client, remember=remember, next_page=next_page)
    if user is None or isinstance(proof, VerificationFailure):
        miss = proof if isinstance(proof, VerificationFailure) else VerificationFailure()
        _failed(user, client, "us_specify_identity" if user is None else "invalid_password_code", miss)
    refused = VerificationFailure("refused", proof.challenge.id if proof.challenge else None)
    if not user.is_active:
        _failed(user, client, "disabled_account", refused)
    if proof.pending or (user.confirmed_at is None and proof.method in PROVE_NO_ADDRESS):
        _failed(user, client, "confirmation_required", refused)
    more: dict[str, Any] = {"seen_at": known.seen_at, "enrolled": known.enrolled, "next_page": next_page}
    has_second = any(row.is_second for row in known.enrolled)
    return finish(user, proof, client, remember=remember, has_second=has_second, **more)


def join(
    proof: VerifiedFactor, client: ClientContext, *, remember: bool, next_page: str = ""
) -> AuthSession | PendingState:
    """Open the account of somebody new, by the code or link in their mail, which ``proof`` has spent; sign them in.

    :raises Rejected: ``generic_authn_failed`` when the address has got an account meanwhile
    """
    assert proof.challenge is not None
    user = open_account(proof.challenge)
    if proof.guess is not None:
        refund(proof.guess)
    confirmed = VerifiedFactor("confirm", proof.challenge)
    return complete_login(user, confirmed, client, remember=remember, has_second=False, next_page=next_page)


def finish(
    user: User,
    proof: VerifiedFactor,
    client: ClientContext,
    *,
    remember: bool,
    has_second: bool,
    enrolled: Sequence[Enrollment] | None = None,
    seen_at: datetime | None = None,
    next_page: str = "",
) -> AuthSession | PendingState:
    """Open the session that ``proof`` earns, or park the sign-in; a passcode that was sent proves its address.

    What every way in ends with; the parameters are those of ``arrive``.
    """
    if proof.challenge is not None and verify_address(user, proof.challenge):
        enrolled = None  # the first proof has swept some of it away
    more: dict[str, Any] = {"enrolled": enrolled, "seen_at": seen_at, "next_page": next_page}
    return complete_login(user, proof, client, remember=remember, has_second=has_second, **more)


def _method_for(typed: TypedIdentity) -> str:
    """Return the method that sends to what was typed, or else the first that sends anything; "" where none does."""
    able = code_methods()
    return next((name for name in able if METHODS[name].reaches == typed.kind), able[0] if able else "")


def _letter_for_strangers(typed: TypedIdentity, method: str) -> str:
    """Return the mail for somebody without an account: it opens one, or tells that there is none; "" for no mail."""
    if may_register(typed, method):
        return "create_account"
    return "no_account" if _tells_strangers(typed, method) else ""


def _letter_for_closed(reached: lookup.Destination, method: str) -> str:
    """Return the mail that tells the owner of an account that is to be deleted how to keep it; "" for no mail."""
    user = reached.user
    closed = user.deletes_at is not None and user.deletes_at > clock.now() and user.disabled_at is None
    is_told = closed and user.confirmed_at is not None and reached.destination != ""
    return "account_closed" if is_told and method == "email" else ""


def _tells_strangers(typed: TypedIdentity, method: str) -> bool:
    """Say whether somebody without an account is to learn that by mail."""
    return settings.mail_unknown and method == "email" and typed.kind == "email"


def _say_why_not(reached: lookup.Destination | None, method: str) -> None:
    if reached is None:
        raise Rejected("us_specify_identity", field="identity")
    if reached.user.confirmed_at is None:
        raise Rejected("confirmation_required", field="identity")
    if method == "sms" and reached.enrolled is not None and not reached.destination:
        raise Rejected("phone_invalid", field="chosen_method")
    if reached.enrolled is None:
        raise Rejected("us_method_not_available", field="chosen_method")


def _failed(user: User | None, client: ClientContext, why: str, miss: VerificationFailure) -> NoReturn:
    throttling.take("failures", client.ip_address)
    facts: dict[str, Any] = {"reason": miss.reason, "error": why, "purpose": PURPOSE}
    record("sign_in.failed", user.id if user else None, challenge_id=miss.challenge_id, at_once=True, **facts)
    if user is not None:
        signals.send(signals.user_failed_authn, user=user, auth_type="passcode", tfa=False)
    if settings.generic_responses:
        raise Rejected("generic_authn_failed", here=miss.here)
    raise Rejected(why, field="passcode" if why == "invalid_password_code" else "identity", here=miss.here)
