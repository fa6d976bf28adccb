"""Recover an account: verify the mailbox, wait, verify it again, and set up anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app import clock, throttling
from app.audit import record, signals
from app.authenticators import enrollments, recovery_codes
from app.authenticators.assurance import assurance_levels_of
from app.authenticators.base import VerifiedFactor
from app.authenticators.registry import authenticator_of
from app.authenticators.sent_codes import EmailCode, enroll_email_code
from app.challenges import notice_links, passcodes
from app.challenges.diagnosis import VerificationFailure
from app.challenges.models import Challenge
from app.challenges.service import ChallengeRequest, end_open, issue_challenge
from app.client import ClientContext
from app.enrollments.methods import WEAK, method_of, methods, methods_reaching
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import db, settings
from app.login import lookup
from app.login.pending import PendingState
from app.login.pipeline import SignIn, complete_sign_in
from app.login.verification import verify_passcode
from app.recovery import emails as recovery_emails
from app.recovery import requests
from app.recovery.models import Recovery
from app.sessions import api_tokens
from app.sessions.known_devices import revoke_browsers
from app.sessions.models import AuthSession
from app.sessions.store import revoke_all_sessions
from app.throttling.by_account import refund
from app.users import User, get_identity, lock_account

PURPOSE = "recovery"


@dataclass(frozen=True, slots=True)
class RecoveryStatus:
    """Recovery status of an account, for someone who has just verified its mailbox.

    :ivar state: ``not_needed`` (the mailbox is enough), ``start``, ``waiting``, ``ready``, or ``capped`` if too many
        recoveries were started
    :ivar methods: methods besides email that are set up and may be lost
    :ivar codes_left: number of recovery codes, which are a quicker way
    :ivar has_second: whether a second factor is required, for which a recovery code can be used
    """

    state: str
    proof: str
    methods: list[str]
    codes_left: int
    has_second: bool
    recovery: Recovery | None = None


def require_enabled() -> None:
    """Check that account recovery is enabled and emails can be sent.

    :raises Rejected: ``not_found`` (404) if not
    """
    if not settings.can_recover:
        raise Rejected("not_found", status=404)


def send_code(identity: str, client: ClientContext) -> Challenge:
    """Send a code to the mailbox of the account ``identity``; if it doesn't exist or isn't active, store a decoy.

    :raises Rejected: ``identity_invalid``, ``too_many_requests``
    """
    typed = get_identity(identity)
    throttling.take("starts", client.ip_address, looks_up=False)
    recipient, penalized_until = lookup.look_up_with_penalty(
        typed, EmailCode.name, client.known_secrets, throttling.bucket_of(client.ip_address)
    )
    throttling.reject_penalized("starts", client.ip_address, penalized_until)
    value = typed.value
    there = recipient is not None and recipient.destination != "" and recipient.user.is_active
    there = there and recipient is not None and recipient.user.confirmed_at is not None
    challenge_request = ChallengeRequest(
        PURPOSE, EmailCode.name, recipient.user.id if recipient else None, value,
        recipient.destination if recipient is not None and there else value,
        pending_secret=passcodes.new_secret(), message_kind="recovery", suppress=not there, is_verified_user=True,
        is_known=recipient is not None and recipient.is_known,
    )  # fmt: skip
    return issue_challenge(challenge_request, client)


def verify_mailbox(identity: str, passcode: str | int, client: ClientContext) -> RecoveryStatus:
    """Return the account's recovery status if ``passcode`` is the code that was sent.

    :raises Rejected: ``identity_invalid``; ``generic_authn_failed`` on ``passcode`` for all other errors;
        ``too_many_requests``
    """
    throttling.check("failures", client.ip_address)
    typed = get_identity(identity)
    known = lookup.look_up(typed, client.known_secrets)
    user_id = known.user.id if known.user else None
    value = typed.value
    browser = known.browser
    factor = verify_passcode(PURPOSE, user_id, value, [], passcode, client, sent_only=True, browser=browser)
    if (
        isinstance(factor, VerificationFailure)
        or factor.challenge is None
        or known.user is None
        or not known.user.is_active
    ):
        throttling.take("failures", client.ip_address)
        reason = factor.reason if isinstance(factor, VerificationFailure) else "refused"
        facts: dict[str, Any] = {"reason": reason, "purpose": PURPOSE}
        record("challenge.failed", user_id, autocommit=True, **facts)
        raise Rejected("generic_authn_failed", field="passcode")
    if factor.login_attempt is not None:
        refund(factor.login_attempt)
    return status_of(known.user, requests.proof_of(known.user.id, factor.challenge.id))


def status_of(user: User, proof: str) -> RecoveryStatus:
    """Return the recovery status of ``user``, whose mailbox was verified by ``proof``."""
    enrolled, recovery = enrollments.enrolled_of(user.id), requests.open_of(user.id)
    methods = list(
        dict.fromkeys(row.method for row in enrolled if method_of(row.method).reaches != "email" and not row.is_pending)
    )
    codes_left = recovery_codes.count_of(user.id).left
    if recovery is not None:
        state = "ready" if recovery.is_ready(clock.now()) else "waiting"
    elif not _is_needed(enrolled):
        state = "not_needed"
    else:
        state = "capped" if requests.count_recent(user.id) >= settings.recovery_starts else "start"
    has_second = any(row.is_second for row in enrolled)
    return RecoveryStatus(state, proof, methods, codes_left, has_second, recovery)


def status_of_proof(proof: str) -> RecoveryStatus | None:
    """Return the recovery status of the account whose mailbox ``proof`` verified; None if the proof has expired."""
    verified = requests.read_proof(proof)
    user = db.session.get(User, verified.user_id) if verified else None
    return status_of(user, proof) if user is not None and user.is_active else None


def start(proof: str, client: ClientContext) -> RecoveryStatus:
    """Start a recovery and notify every channel; if one is already open, return its status.

    :raises Rejected: ``recovery_proof_old``; ``recovery_capped``; ``api_error`` if the mailbox is enough to sign in
    """
    user, answered = _lock_account_of(proof)
    status = status_of(user, proof)
    if status.state in ("waiting", "ready"):
        return status
    if status.state != "start":
        raise Rejected("recovery_capped" if status.state == "capped" else "api_error")
    recovery = requests.start(user.id, answered.id, client)
    recovery_emails.notify(recovery, "started")
    record("recovery.started", user.id, challenge_id=answered.id)
    return status_of(user, proof)


def cancel(recovery: Recovery, how: str) -> bool:
    """Cancel ``recovery`` and notify every channel; return False if it has expired or was completed first.

    :param how: ``session``, ``link``, ``denial`` or ``operator``
    """
    lock_account(recovery.user_id)
    if not requests.cancel(recovery.id):
        return False
    recovery_emails.notify(recovery, "cancelled")
    record("recovery.cancelled", recovery.user_id, how=how)
    return True


def cancel_on_report(challenge: Challenge) -> None:
    """Cancel the open recovery that this challenge started, ready or not, because its email was reported."""
    recovery = requests.started_by(challenge.id) if challenge.purpose == PURPOSE else None
    if recovery is not None:
        cancel(recovery, "denial")


def cancel_with_account(user_id: int) -> None:
    """Cancel the open recovery of a closed account, without notice: the emails about its deletion are enough."""
    recovery = requests.open_of(user_id)
    if recovery is not None and requests.cancel(recovery.id):
        record("recovery.cancelled", user_id, how="deletion")


def complete(proof: str, lost: Sequence[str], client: ClientContext) -> AuthSession | PendingState:
    """Complete a recovery whose wait is over: sign out everywhere, remove the ``lost`` methods, and sign in.

    :raises Rejected: ``invalid_choice`` on ``lost``; ``recovery_proof_old``; ``recovery_not_ready``; ``recovery_over``
        if it was canceled first
    """
    if not {*lost} <= {*methods()}:
        raise Rejected("invalid_choice", field="lost")
    user, answered = _lock_account_of(proof)
    recovery = requests.open_of(user.id)
    if recovery is None:
        raise Rejected("recovery_over")
    if not recovery.is_ready(clock.now()):
        raise Rejected("recovery_not_ready")
    if not requests.complete(recovery.id):
        raise Rejected("recovery_over")
    _reset(user, lost)
    recovery_emails.notify(recovery, "done")
    record("recovery.completed", user.id, challenge_id=answered.id)
    sign_in = SignIn(client, user=user, factors=(VerifiedFactor(answered.method, answered),))
    return complete_sign_in(sign_in, is_confirmed=True)


def _is_needed(enrolled: Sequence[Enrollment]) -> bool:
    """Return whether the mailbox alone can't sign in: a second factor or a higher assurance level is required."""
    return any(row.is_second for row in enrolled) or assurance_levels_of(enrolled).required > WEAK


def _lock_account_of(proof: str) -> tuple[User, Challenge]:
    """Lock the account whose mailbox ``proof`` verified; return the user and the challenge.

    :raises Rejected: ``recovery_proof_old`` if it has expired, or the challenge's email was reported since
    """
    verified = requests.read_proof(proof)
    user = db.session.get(User, verified.user_id) if verified else None
    if verified is None or user is None or not user.is_active:
        raise Rejected("recovery_proof_old")
    lock_account(user.id)
    challenge = notice_links.find_reported(verified.challenge_id)
    if challenge is None or challenge.denied_at is not None:
        raise Rejected("recovery_proof_old")
    return user, challenge


def _reset(user: User, lost: Sequence[str]) -> None:
    """Sign out everywhere, turn off two-step verification, and remove the lost methods.

    Recovery codes are always removed: an owner who still had one would need no recovery, so they may be stolen.
    """
    revoke_all_sessions(user.id)
    revoke_browsers(user.id)
    api_tokens.revoke_all(user.id, "recovery")
    end_open(user.id)
    enrollments.unmark_second_factors(user.id)
    recovery_codes.delete_all(user.id)
    kept = methods_reaching("email")
    gone = [name for name in dict.fromkeys(lost) if name not in kept and authenticator_of(name).remove_all(user)]
    for name in gone:
        record("factor.removed", user.id, method=name, reason="recovery")
    enroll_email_code(user.id)
    signals.send(signals.us_profile_changed, user=user, methods=gone, delete=True)
