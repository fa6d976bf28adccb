"""Signing in, and proving again, with a passkey."""

from __future__ import annotations

from typing import Any, NoReturn

from app import limits
from app.audit import record, signals
from app.extensions import settings
from app.kit import clock
from app.kit.asking import Asker
from app.kit.refusals import Refused
from app.methods import ceremonies, passkey_answers, passkeys
from app.methods.models import Ceremony
from app.methods.proving import Proof
from app.sessions.freshness import freshen
from app.sessions.models import AuthSession
from app.sessions.opening import renew_token
from app.sessions.pending import Parked
from app.signin.flow import PURPOSE, finish
from app.users import User

Credential = str | dict[str, Any]


def begin(asker: Asker) -> tuple[Ceremony, dict[str, Any]]:
    """Return a ceremony that signs in, and what the browser needs for it.

    The options name nobody's passkeys, whoever is named: the browser offers what it has, and knows whose it is.
    :raises Refused: ``us_method_not_available`` where passkeys are off; ``too_many_requests``
    """
    _available()
    limits.take("passkeys", asker.address)
    ceremony = ceremonies.begin("get", ceremonies.place_of(asker))
    return ceremony, ceremonies.request_options(ceremony)


def sign_in(
    state: str, credential: Credential, asker: Asker, *, remember: bool, next_page: str = ""
) -> AuthSession | Parked:
    """Open a session for whoever's passkey ``credential`` was signed by, or park the sign-in if it is one factor.

    It takes no guess: 10,000 wrong codes of strangers do not stop it, and there is nothing to guess at.
    :raises Refused: ``api_error`` or ``webauthn_expired`` on the form; on ``credential`` what is wrong with it;
        ``disabled_account`` or ``confirmation_required`` of who has proved to be its owner
    """
    _available()
    ceremony = ceremonies.spend(state, "get", asker.binding)
    answer = passkey_answers.read(credential)
    try:
        passkey, user, used = passkeys.check(answer, ceremony, alone=True)
        if not user.is_active:
            raise Refused("disabled_account", field=passkey_answers.FIELD)
        if user.confirmed_at is None:
            raise Refused("confirmation_required", field=passkey_answers.FIELD)
        passkeys.use(passkey, used)
    except Refused as refused:
        failed(refused, _owner_of(answer.id), PURPOSE)
    held = passkey.in_cooldown(clock.now())
    proof = Proof(passkeys.METHOD, verified=used.verified, held=held)
    has_second = held or not used.verified  # it may be asked for, then
    return finish(user, proof, asker, remember=remember, has_second=has_second, next_page=next_page)


def begin_again(user: User, session: AuthSession, asker: Asker) -> tuple[Ceremony, dict[str, Any]]:
    """Return a ceremony by which the signed-in user proves it again, with one of their own passkeys.

    :raises Refused: ``us_method_not_available`` when they have none; ``too_many_requests``
    """
    _available()
    limits.take("passkeys", asker.address)
    mine = passkeys.passkeys_of(user.id)
    if not mine:
        raise Refused("us_method_not_available")
    ceremony = ceremonies.begin("verify", session.family, user_id=user.id)
    return ceremony, ceremonies.request_options(ceremony, mine, alone=False)


def verify(user: User, session: AuthSession, state: str, credential: Credential) -> None:
    """Freshen ``session`` if ``credential`` was signed by a passkey of its own user; its cookie changes.

    :raises Refused: as ``sign_in``; ``webauthn_mismatch_user_handle`` on the form for somebody else's passkey
    """
    _available()
    ceremony = ceremonies.spend(state, "verify", session.family)
    if ceremony.user_id != user.id:
        raise Refused("api_error")
    answer = passkey_answers.read(credential)
    try:
        passkey, _, used = passkeys.check(answer, ceremony, alone=False, user=user)
        passkeys.use(passkey, used)
    except Refused as refused:
        failed(refused, user, "verify")
    freshen(session, passkeys.amr_of(used.verified), held=passkey.in_cooldown(clock.now()))
    if session.kind == "browser":
        renew_token(session)
    record("sign_in.step_up", user.id, method=passkeys.METHOD)


def failed(refused: Refused, user: User | None, purpose: str) -> NoReturn:
    """Note that a passkey was refused, and refuse it."""
    facts: dict[str, Any] = {"reason": "refused", "error": refused.code, "purpose": purpose, "method": passkeys.METHOD}
    record("sign_in.failed", user.id if user else None, at_once=True, **facts)
    if user is not None:
        signals.send(signals.user_failed_authn, user=user, auth_type="passkey", tfa=False)
    raise refused


def _available() -> None:
    if not settings.can_use_passkeys:
        raise Refused("us_method_not_available")


def _owner_of(credential_id: str) -> User | None:
    found = passkeys.find(credential_id)
    return found[1] if found else None
