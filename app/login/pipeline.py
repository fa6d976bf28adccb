"""The pipeline that every sign-in goes through. Its stages, in order:

``look_up``, ``verify``, ``confirm_address``, ``require_second_factor``, ``open_session``. Each takes a ``SignIn``. The
first three return it with more fields filled in, the others return the outcome; any of them can end it with
``Rejected``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NoReturn

from app import throttling
from app.audit import record, signals
from app.authenticators.base import VerifiedFactor
from app.authenticators.enrollments import enrolled_of
from app.authenticators.sent_codes import CONFIRMED, confirmed_by
from app.challenges import service as challenges
from app.challenges.diagnosis import VerificationFailure
from app.challenges.service import ChallengeRequest
from app.client import ClientContext
from app.enrollments.methods import method_of
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import settings
from app.login import lookup, pending, second_factor
from app.login.initial_verification import create_account, verify_address
from app.login.pending import PendingState, StartedPending
from app.login.verification import verify_passcode
from app.sessions import known_devices
from app.sessions.known_devices import record_sign_in
from app.sessions.models import AuthSession
from app.sessions.store import create_session
from app.throttling import by_account
from app.users import TypedIdentity, User, get_identity

PURPOSE = "sign_in"
"""Purpose of challenges that sign in."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """The state of a sign-in in progress.

    :ivar remember: whether the session persists after the browser is closed
    :ivar next_page: URL to continue to, "" for none
    :ivar identity: the typed identity; None if a link or a passkey identifies the user
    :ivar user: None until the user is known, and for an unknown identity
    :ivar enrolled: all enrollments of the user; None until they are looked up
    :ivar has_second: whether the user may have to provide a second factor
    :ivar browser: digest by which the account knows this browser, "" for a new one
    :ivar seen_at: when they last signed in from it; None if that wasn't looked up
    :ivar factors: verified factors in order; the last one may be the second factor
    :ivar pending: the pending sign-in, once its second factor is verified
    """

    client: ClientContext
    remember: bool = False
    next_page: str = ""
    identity: TypedIdentity | None = None
    user: User | None = None
    enrolled: Sequence[Enrollment] | None = None
    has_second: bool = False
    browser: str = ""
    seen_at: datetime | None = None
    factors: tuple[VerifiedFactor, ...] = ()
    pending: StartedPending | None = None


def sign_in(
    identity: str, passcode: str | int | None, client: ClientContext, *, remember: bool, next_page: str = ""
) -> AuthSession | PendingState:
    """Sign in the user of ``identity`` if ``passcode`` is valid for one of their methods.

    :raises Rejected: ``identity_invalid``; ``generic_authn_failed``, or in explicit mode the actual error;
        ``too_many_requests``; as ``complete_sign_in``
    """
    throttling.check("failures", client.ip_address)
    state = look_up(SignIn(client, remember, next_page), identity)
    return complete_sign_in(verify(state, passcode))


def complete_sign_in(state: SignIn, *, is_confirmed: bool = False) -> AuthSession | PendingState:
    """Open a session after the first factor is verified, or wait for the second factor.

    Links, passkeys, confirmations and recovery enter the pipeline here, with the factor that they have verified.
    :param is_confirmed: the caller has already marked the address as verified
    :raises Rejected: ``confirmation_required`` if a second factor must be set up and the user has no verified address;
        ``generic_authn_failed`` if a new account's address has an account by now
    """
    confirmed = state if is_confirmed else confirm_address(state)
    return require_second_factor(confirmed) or open_session(confirmed)


def look_up(state: SignIn, identity: str) -> SignIn:
    """Look up the user of ``identity``, their enrollments, and whether they know this browser. One statement.

    :raises Rejected: ``identity_invalid``
    """
    typed = get_identity(identity) if identity.strip() else None
    found = lookup.look_up(typed, state.client.known_secrets)
    return replace(
        state, identity=typed, user=found.user, enrolled=found.enrolled, browser=found.browser,
        seen_at=found.seen_at, has_second=any(row.is_second for row in found.enrolled),
    )  # fmt: skip


def verify(state: SignIn, passcode: str | int | None) -> SignIn:
    """Verify ``passcode``, and that the user may sign in. Known and unknown people cost the same work.

    :raises Rejected: ``generic_authn_failed``, or in explicit mode the actual error; ``too_many_requests``
    """
    user, client = state.user, state.client
    identity_value = state.identity.value if state.identity else ""
    factor: VerifiedFactor | VerificationFailure = VerificationFailure()
    if passcode not in (None, ""):
        factor = verify_passcode(
            PURPOSE, user.id if user else None, identity_value, state.enrolled or [], passcode, client,
            browser=state.browser,
        )  # fmt: skip
    if isinstance(factor, VerificationFailure):
        _reject(state, "us_specify_identity" if user is None else "invalid_password_code", factor)
    if user is None and factor.challenge is None:
        _reject(state, "us_specify_identity", VerificationFailure())
    failure = VerificationFailure("refused", factor.challenge_id)
    if user is not None and not user.is_active:
        _reject(state, "disabled_account", failure)
    is_unconfirmed = user is not None and user.confirmed_at is None and not method_of(factor.method).reaches
    if factor.pending or is_unconfirmed:
        _reject(state, "confirmation_required", failure)
    return replace(state, factors=(factor,))


def confirm_address(state: SignIn) -> SignIn:
    """Mark the address that the code or link was sent to as verified; create the account if there is none.

    :raises Rejected: ``generic_authn_failed`` if the address has an account by now
    """
    factor = state.factors[0]
    if factor.challenge is None:
        return state
    if state.user is None:
        user = create_account(factor.challenge)
        if factor.login_attempt is not None:
            by_account.refund(factor.login_attempt)
        return replace(state, user=user, factors=(VerifiedFactor(confirmed_by(factor.challenge), factor.challenge),))
    if verify_address(state.user, factor.challenge):
        return replace(state, enrolled=None)  # the first verification removed some of them
    return state


def require_second_factor(state: SignIn) -> PendingState | None:
    """Start a pending sign-in if a second factor is required; return None if not.

    Enrollments are looked up only if one may be required. A trusted browser skips the second factor.
    :raises Rejected: ``confirmation_required`` if one must be set up and the user has no verified address
    """
    user, factor, client = _user_of(state), state.factors[0], state.client
    if not (state.has_second or settings.second_factor == "required"):
        return None
    if not second_factor.is_due_after(factor):
        return None
    enrolled = state.enrolled if state.enrolled is not None else enrolled_of(user.id)
    step = second_factor.step_after(factor, enrolled)
    if step is None:
        return None
    must_set_up = step.state == second_factor.SETUP
    if not must_set_up and known_devices.use_trust(user.id, client.known_secrets):
        record("second_step.skipped", user.id, challenge_id=factor.challenge_id, method=factor.method)
        return None
    if must_set_up and user.confirmed_at is None:
        raise Rejected("confirmation_required")
    if factor.login_attempt is not None:
        by_account.refund(factor.login_attempt)
    pending_sign_in = pending.start(
        user, factor.amr, step.state, step.choices, client,
        answered_id=factor.challenge_id, remember=state.remember, next_page=state.next_page,
    )  # fmt: skip
    record("second_step.asked", user.id, challenge_id=factor.challenge_id, method=factor.method)
    if pending_sign_in.row.method:
        ask_for_second_factor(StartedPending(pending_sign_in.row, user), pending_sign_in.row.method, client)
    return pending_sign_in


def open_session(state: SignIn) -> AuthSession:
    """Open the session. All sign-ins end here. Of two concurrent requests, only one gets a session.

    The browser becomes known to the account. If it was new, the owner is notified by email.
    :raises Rejected: ``two_factor_permission_denied`` if the pending sign-in has ended in the meantime
    """
    user, client, pending_sign_in = _user_of(state), state.client, state.pending
    last = state.factors[-1]
    if pending_sign_in is None:
        pending.end(client)
        first, challenge_id, login_attempt = last.amr, last.challenge_id, last.login_attempt
    else:
        if not pending.consume(pending_sign_in):
            raise Rejected("two_factor_permission_denied")
        if last.login_attempt is not None:
            by_account.refund(last.login_attempt)
        second_factor.reset_misses(user.id)
        first, challenge_id, login_attempt = pending_sign_in.row.amr, pending_sign_in.row.answered_id, None
    then = last.amr if pending_sign_in is not None else ""
    browser = record_sign_in(user.id, client, state.seen_at, login_attempt)
    session = create_session(
        user, f"{first},{then}" if then else first, client,
        remember=state.remember, challenge_id=challenge_id, in_cooldown=last.in_cooldown,
        browser=known_devices.device_digest(), notify_owner=browser != "known" and first != CONFIRMED,
    )  # fmt: skip
    facts: dict[str, Any] = {"second": then} if then else {}
    record(
        "sign_in.succeeded", user.id, challenge_id=challenge_id,
        method=first, session=session.digest[:8], browser=browser, **facts,
    )  # fmt: skip
    signals.send(signals.user_authenticated, user=user, authn_via=None if then else [first])
    if then:
        signals.send(signals.tf_code_confirmed, user=user, method=last.method)
    return session


def complete_second_factor(
    pending_sign_in: StartedPending, factor: VerifiedFactor, client: ClientContext
) -> AuthSession:
    """Open the session of a pending sign-in whose second factor is verified.

    :raises Rejected: as ``open_session``
    """
    row = pending_sign_in.row
    return open_session(
        SignIn(client, row.remember, user=pending_sign_in.user, factors=(factor,), pending=pending_sign_in)
    )


def ask_for_second_factor(pending_sign_in: StartedPending, method: str, client: ClientContext) -> None:
    """Request the second factor by ``method``, and send its code if it sends one.

    :raises Rejected: ``two_factor_method_not_available`` on ``which`` if the account no longer has it
    """
    challenge_id = None
    if method_of(method).sends:
        recipient = lookup.recipient_of(pending_sign_in.user.id, method)
        if recipient is None or not recipient.can_receive:
            raise Rejected("two_factor_method_not_available", field="which")
        signals.send(signals.tf_security_token_sent, user=pending_sign_in.user, method=method)
        challenge_request = ChallengeRequest(
            second_factor.PURPOSE, method, pending_sign_in.user.id, "", recipient.destination, recipient.enrolled,
            message_kind="second", is_known=True,
        )  # fmt: skip
        challenge_id = challenges.issue_challenge(challenge_request, client).id
    pending.record_challenge(pending_sign_in, method, challenge_id, second_factor.READY)


def _user_of(state: SignIn) -> User:
    assert state.user is not None  # guaranteed by the earlier stages
    return state.user


def _reject(state: SignIn, code: str, failure: VerificationFailure) -> NoReturn:
    """Count, record and reject a failed sign-in."""
    user, client = state.user, state.client
    throttling.take("failures", client.ip_address)
    record(
        "sign_in.failed", user.id if user else None, challenge_id=failure.challenge_id, autocommit=True,
        reason=failure.reason, error=code, purpose=PURPOSE,
    )  # fmt: skip
    if user is not None:
        signals.send(signals.user_failed_authn, user=user, auth_type="passcode", tfa=False)
    if settings.generic_responses:
        raise Rejected("generic_authn_failed", here=failure.here)
    raise Rejected(code, field="passcode" if code == "invalid_password_code" else "identity", here=failure.here)
