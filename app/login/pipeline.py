"""The pipeline that every sign-in goes through: look up, verify, require a second factor, open a session.

Each stage takes a ``SignIn`` and returns it with more known, or ends it with ``Rejected``.
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
from app.enrollments.catalog import method_of
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import settings
from app.login import lookup, pending, second_factor
from app.login.initial_verification import open_account, verify_address
from app.login.pending import PendingState, StartedPending
from app.login.verification import verify_passcode
from app.sessions import known_devices
from app.sessions.known_devices import note_sign_in
from app.sessions.models import AuthSession
from app.sessions.store import create_session
from app.throttling import by_account
from app.users import TypedIdentity, User, get_identity

PURPOSE = "sign_in"
"""Of the challenge by which a passcode is sent to sign in."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """What is known of one sign-in under way.

    :ivar remember: whether the session outlives the browser
    :ivar next_page: where the person was going, "" for nowhere
    :ivar identity: what was typed; None where something else names the user, as a link or a passkey does
    :ivar user: whose account it is; None until that is known, and for nobody's identity
    :ivar enrolled: all that the user has set up; None where no statement has found it yet
    :ivar has_second: whether the user may be asked for a second factor
    :ivar browser: digest by which the user knows this browser, ""  for a new one
    :ivar seen_at: when they last signed in from it; None where that was not looked up
    :ivar factors: what was proved, in this order; the last one may be the second factor
    :ivar pending: the sign-in that waited for its second factor, once that was proved
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
    """Sign in whom ``identity`` names, if ``passcode`` answers one of their methods.

    :raises Rejected: ``identity_invalid``; ``generic_authn_failed``, or in explicit mode what was wrong;
        ``too_many_requests``; as ``finish``
    """
    throttling.allow("failures", client.ip_address)
    under_way = look_up(SignIn(client, remember, next_page), identity)
    return finish(verify(under_way, passcode))


def finish(under_way: SignIn) -> AuthSession | PendingState:
    """Open the session that a verified factor earns, or let the sign-in wait for its second factor.

    Links, passkeys and recovery begin here, with the factor that they have verified.
    :raises Rejected: as ``conclude``; ``generic_authn_failed`` when a new account's address has got one meanwhile
    """
    return conclude(prove_address(under_way))


def conclude(under_way: SignIn) -> AuthSession | PendingState:
    """Do as ``finish`` where the address was noted as proved already.

    :raises Rejected: ``confirmation_required`` when a second factor must be set up and no address was proved
    """
    return require_second_factor(under_way) or open_session(under_way)


def look_up(under_way: SignIn, identity: str) -> SignIn:
    """Find whose ``identity`` it is, all they have set up, and whether they know this browser. One statement.

    :raises Rejected: ``identity_invalid``
    """
    typed = get_identity(identity) if identity.strip() else None
    found = lookup.look_up(typed, under_way.client.known_secrets)
    return replace(
        under_way, identity=typed, user=found.user, enrolled=found.enrolled, browser=found.browser,
        seen_at=found.seen_at, has_second=any(row.is_second for row in found.enrolled),
    )  # fmt: skip


def verify(under_way: SignIn, passcode: str | int | None) -> SignIn:
    """Verify ``passcode``, and that its owner may sign in. Known and unknown people cost the same.

    :raises Rejected: ``generic_authn_failed``, or in explicit mode what was wrong; ``too_many_requests``
    """
    user, client = under_way.user, under_way.client
    identity_value = under_way.identity.value if under_way.identity else ""
    factor: VerifiedFactor | VerificationFailure = VerificationFailure()
    if passcode not in (None, ""):
        factor = verify_passcode(
            PURPOSE, user.id if user else None, identity_value, under_way.enrolled or [], passcode, client,
            browser=under_way.browser,
        )  # fmt: skip
    if isinstance(factor, VerificationFailure):
        _refuse(under_way, "us_specify_identity" if user is None else "invalid_password_code", factor)
    if user is None and factor.challenge is None:
        _refuse(under_way, "us_specify_identity", VerificationFailure())
    refused = VerificationFailure("refused", factor.challenge_id)
    if user is not None and not user.is_active:
        _refuse(under_way, "disabled_account", refused)
    opens_nothing = user is not None and user.confirmed_at is None and not method_of(factor.method).reaches
    if factor.pending or opens_nothing:
        _refuse(under_way, "confirmation_required", refused)
    return replace(under_way, factors=(factor,))


def prove_address(under_way: SignIn) -> SignIn:
    """Note that the address is theirs to which a code or link was sent; open the account where there was none.

    :raises Rejected: ``generic_authn_failed`` when the address has got an account meanwhile
    """
    factor = under_way.factors[0]
    if factor.challenge is None:
        return under_way
    if under_way.user is None:
        user = open_account(factor.challenge)
        if factor.login_attempt is not None:
            by_account.refund(factor.login_attempt)
        return replace(
            under_way, user=user, factors=(VerifiedFactor(confirmed_by(factor.challenge), factor.challenge),)
        )
    if verify_address(under_way.user, factor.challenge):
        return replace(under_way, enrolled=None)  # the first proof has swept some of it away
    return under_way


def require_second_factor(under_way: SignIn) -> PendingState | None:
    """Let the sign-in wait for its second factor where one is due; None where it may go on.

    What was set up is looked up only where one may be due. A trusted browser skips it.
    :raises Rejected: ``confirmation_required`` when one must be set up and no address was proved
    """
    user, factor, client = _user_of(under_way), under_way.factors[0], under_way.client
    if not (under_way.has_second or settings.second_factor == "required"):
        return None
    if not second_factor.is_due_after(factor):
        return None
    enrolled = under_way.enrolled if under_way.enrolled is not None else enrolled_of(user.id)
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
        user, factor.proof, step.state, step.choices, client,
        answered_id=factor.challenge_id, remember=under_way.remember, next_page=under_way.next_page,
    )  # fmt: skip
    record("second_step.asked", user.id, challenge_id=factor.challenge_id, method=factor.method)
    if pending_sign_in.row.method:
        ask_for_second_factor(StartedPending(pending_sign_in.row, user), pending_sign_in.row.method, client)
    return pending_sign_in


def open_session(under_way: SignIn) -> AuthSession:
    """Open the session, the one place where a sign-in does; of two requests at once one gets it.

    The browser is known to the account from now on; that it was new is told the owner by mail.
    :raises Rejected: ``two_factor_permission_denied`` when the sign-in that waited has ended meanwhile
    """
    user, client, pending_sign_in = _user_of(under_way), under_way.client, under_way.pending
    last = under_way.factors[-1]
    if pending_sign_in is None:
        pending.end(client)
        first, challenge_id, login_attempt = last.proof, last.challenge_id, last.login_attempt
    else:
        if not pending.use_up(pending_sign_in):
            raise Rejected("two_factor_permission_denied")
        if last.login_attempt is not None:
            by_account.refund(last.login_attempt)
        second_factor.forget_misses(user.id)
        first, challenge_id, login_attempt = pending_sign_in.row.amr, pending_sign_in.row.answered_id, None
    then = last.proof if pending_sign_in is not None else ""
    browser = note_sign_in(user.id, client, under_way.seen_at, login_attempt)
    session = create_session(
        user, f"{first},{then}" if then else first, client,
        remember=under_way.remember, challenge_id=challenge_id, held=last.held, browser=known_devices.known_here(),
        is_news=browser != "known" and first != CONFIRMED,
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


def finish_second(pending_sign_in: StartedPending, factor: VerifiedFactor, client: ClientContext) -> AuthSession:
    """Open the session of a sign-in whose second factor is verified.

    :raises Rejected: as ``open_session``
    """
    row = pending_sign_in.row
    return open_session(
        SignIn(client, row.remember, user=pending_sign_in.user, factors=(factor,), pending=pending_sign_in)
    )


def ask_for_second_factor(pending_sign_in: StartedPending, method: str, client: ClientContext) -> None:
    """Ask for the second factor by ``method``: send its code, where it sends one.

    :raises Rejected: ``two_factor_method_not_available`` on ``which`` when the account has it no more
    """
    challenge_id = None
    if method_of(method).sends:
        reached = lookup.destination_of_user(pending_sign_in.user.id, method)
        if reached is None or reached.enrolled is None or not reached.destination:
            raise Rejected("two_factor_method_not_available", field="which")
        signals.send(signals.tf_security_token_sent, user=pending_sign_in.user, method=method)
        challenge_request = ChallengeRequest(
            second_factor.PURPOSE, method, pending_sign_in.user.id, "", reached.destination, reached.enrolled,
            letter="second", is_known=True,
        )  # fmt: skip
        challenge_id = challenges.issue_challenge(challenge_request, client).id
    pending.note_question(pending_sign_in, method, challenge_id, second_factor.READY)


def _user_of(under_way: SignIn) -> User:
    assert under_way.user is not None  # each stage before has seen to it
    return under_way.user


def _refuse(under_way: SignIn, why: str, failure: VerificationFailure) -> NoReturn:
    """Count and record a failed sign-in, and refuse it."""
    user, client = under_way.user, under_way.client
    throttling.take("failures", client.ip_address)
    record(
        "sign_in.failed", user.id if user else None, challenge_id=failure.challenge_id, at_once=True,
        reason=failure.reason, error=why, purpose=PURPOSE,
    )  # fmt: skip
    if user is not None:
        signals.send(signals.user_failed_authn, user=user, auth_type="passcode", tfa=False)
    if settings.generic_responses:
        raise Rejected("generic_authn_failed", here=failure.here)
    raise Rejected(why, field="passcode" if why == "invalid_password_code" else "identity", here=failure.here)
