"""Use a passkey to sign in, as the second factor, or to confirm it's you."""

from __future__ import annotations

from typing import Any, NoReturn

from app import clock, throttling
from app.audit import record, signals
from app.authenticators.base import VerifiedFactor
from app.authenticators.models import WebauthnChallenge
from app.authenticators.webauthn import challenges as webauthn_challenges
from app.authenticators.webauthn import passkeys
from app.authenticators.webauthn import verification as webauthn_verification
from app.client import ClientContext
from app.enrollments.methods import method_of
from app.errors import Rejected
from app.extensions import settings
from app.login import pending
from app.login.freshness import freshen
from app.login.pending import PendingState, StartedPending
from app.login.pipeline import PURPOSE, SignIn, complete_second_factor, complete_sign_in
from app.sessions.models import AuthSession
from app.sessions.store import renew_token
from app.users import User

Credential = str | dict[str, Any]


def begin(client: ClientContext) -> tuple[WebauthnChallenge, dict[str, Any]]:
    """Start a ceremony to sign in; return it with the options for the browser.

    The options list no passkeys, whatever identity was entered: the browser offers those it has.
    :raises Rejected: ``us_method_not_available`` if passkeys are disabled; ``too_many_requests``
    """
    _available()
    throttling.take("passkeys", client.ip_address)
    ceremony = webauthn_challenges.begin("get", webauthn_challenges.binding_of(client))
    return ceremony, webauthn_challenges.request_options(ceremony)


def sign_in(
    state: str, credential: Credential, client: ClientContext, *, remember: bool, next_page: str = ""
) -> AuthSession | PendingState:
    """Sign in the owner of the passkey that signed ``credential``, or wait for a second factor if one is required.

    Attempt limits don't apply: a signature can't be guessed, and strangers' wrong codes must not lock the owner out.
    :raises Rejected: ``api_error`` or ``webauthn_expired`` on the form; on ``credential`` what is wrong with it;
        ``disabled_account`` or ``confirmation_required`` once the signature is verified
    """
    _available()
    ceremony = webauthn_challenges.spend(state, "get", client.binding)
    answer = webauthn_verification.parse(credential)
    try:
        passkey, user, used = passkeys.check(answer, ceremony, alone=True)
        if not user.is_active:
            raise Rejected("disabled_account", field=webauthn_verification.FIELD)
        if user.confirmed_at is None:
            raise Rejected("confirmation_required", field=webauthn_verification.FIELD)
        passkeys.use(passkey, used)
    except Rejected as rejection:
        failed(rejection, _owner_of(answer.id), PURPOSE)
    in_cooldown = passkey.in_cooldown(clock.now())
    factor = VerifiedFactor(passkeys.METHOD, verified=used.verified, in_cooldown=in_cooldown)
    has_second = in_cooldown or not used.verified  # a second factor may be required then
    return complete_sign_in(SignIn(client, remember, next_page, user=user, has_second=has_second, factors=(factor,)))


def begin_again(user: User, session: AuthSession, client: ClientContext) -> tuple[WebauthnChallenge, dict[str, Any]]:
    """Start a ceremony to reauthenticate the signed-in user with one of their own passkeys; return it with its options.

    :raises Rejected: ``us_method_not_available`` if they have none; ``too_many_requests``
    """
    _available()
    throttling.take("passkeys", client.ip_address)
    mine = passkeys.passkeys_of(user.id)
    if not mine:
        raise Rejected("us_method_not_available")
    ceremony = webauthn_challenges.begin("verify", session.session_id, user_id=user.id)
    return ceremony, webauthn_challenges.request_options(ceremony, mine, alone=False)


def verify(user: User, session: AuthSession, state: str, credential: Credential) -> None:
    """Freshen ``session`` if ``credential`` was signed by a passkey of its own user. Renews the session cookie.

    :raises Rejected: as ``sign_in``; ``webauthn_mismatch_user_handle`` on the form for another user's passkey
    """
    _available()
    ceremony = webauthn_challenges.spend(state, "verify", session.session_id)
    if ceremony.user_id != user.id:
        raise Rejected("api_error")
    answer = webauthn_verification.parse(credential)
    try:
        passkey, _, used = passkeys.check(answer, ceremony, alone=False, user=user)
        passkeys.use(passkey, used)
    except Rejected as rejection:
        failed(rejection, user, "verify")
    freshen(session, passkeys.amr_of(used.verified), in_cooldown=passkey.in_cooldown(clock.now()))
    if session.kind == "browser":
        renew_token(session)
    record("sign_in.step_up", user.id, method=passkeys.METHOD)


def pending_for_passkey(client: ClientContext) -> StartedPending | None:
    """Return the client's pending sign-in if it accepts a passkey as the second factor, else None."""
    pending_sign_in = pending.current(client)
    return (
        pending_sign_in
        if pending_sign_in is not None and any(not method_of(name).is_typed for name in pending_sign_in.choices)
        else None
    )


def begin_second(pending_sign_in: StartedPending, client: ClientContext) -> tuple[WebauthnChallenge, dict[str, Any]]:
    """Start a ceremony for the second factor; return it with its options, which list the user's accepted passkeys.

    :raises Rejected: ``too_many_requests``
    """
    throttling.take("passkeys", client.ip_address)
    ceremony = webauthn_challenges.begin("second", _binding_of(pending_sign_in), user_id=pending_sign_in.user.id)
    now = clock.now()
    able = [key for key in passkeys.passkeys_of(pending_sign_in.user.id) if not key.in_cooldown(now)]
    return ceremony, webauthn_challenges.request_options(ceremony, able, alone=False)


def finish_as_second(
    pending_sign_in: StartedPending, state: str, credential: Credential, client: ClientContext
) -> AuthSession:
    """Open the session of a pending sign-in if ``credential`` was signed by a passkey of the same account.

    :raises Rejected: ``two_factor_permission_denied`` if it has ended in the meantime; as ``sign_in``;
        ``webauthn_in_cooldown`` on ``credential``
    """
    ceremony = webauthn_challenges.spend(state, "second", _binding_of(pending_sign_in))
    if ceremony.user_id != pending_sign_in.user.id:
        raise Rejected("api_error")
    answer = webauthn_verification.parse(credential)
    try:
        passkey, _, used = passkeys.check(answer, ceremony, alone=False, user=pending_sign_in.user)
        if passkey.in_cooldown(clock.now()):
            raise Rejected("webauthn_in_cooldown", field=webauthn_verification.FIELD)
        passkeys.use(passkey, used)
    except Rejected as rejection:
        failed(rejection, pending_sign_in.user, "second")
    return complete_second_factor(pending_sign_in, VerifiedFactor(passkeys.METHOD, verified=used.verified), client)


def _binding_of(pending_sign_in: StartedPending) -> str:
    """Return the binding of the ceremony: the pending sign-in, which requires its cookie or token."""
    return pending_sign_in.row.id


def failed(rejection: Rejected, user: User | None, purpose: str) -> NoReturn:
    """Record that a passkey was rejected, and raise the error."""
    record(
        "sign_in.failed", user.id if user else None, autocommit=True,
        reason="refused", error=rejection.code, purpose=purpose, method=passkeys.METHOD,
    )  # fmt: skip
    if user is not None:
        signals.send(signals.user_failed_authn, user=user, auth_type="passkey", tfa=False)
    raise rejection


def _available() -> None:
    if not settings.can_use_passkeys:
        raise Rejected("us_method_not_available")


def _owner_of(credential_id: str) -> User | None:
    found = passkeys.find(credential_id)
    return found[1] if found else None
