"""The second step of a sign-in by a passkey."""

from __future__ import annotations

from typing import Any

from app import clock, throttling
from app.authenticators.base import VerifiedFactor
from app.authenticators.models import WebauthnChallenge
from app.authenticators.webauthn import challenges as webauthn_challenges
from app.authenticators.webauthn import passkeys
from app.authenticators.webauthn import verification as webauthn_verification
from app.client import ClientContext
from app.errors import Rejected
from app.login import completion, pending
from app.login.pending import StartedPending
from app.sessions.models import AuthSession
from app.signin.passkeys import Credential, failed


def under_way(client: ClientContext) -> StartedPending | None:
    """Return the sign-in that waits for a second step which a passkey can take; None when none does."""
    waiting = pending.current(client)
    return waiting if waiting is not None and passkeys.METHOD in waiting.choices else None


def begin(waiting: StartedPending, client: ClientContext) -> tuple[WebauthnChallenge, dict[str, Any]]:
    """Return a ceremony that takes the second step, and what the browser needs for it: whose keys will do is known.

    :raises Rejected: ``too_many_requests``
    """
    throttling.take("passkeys", client.ip_address)
    ceremony = webauthn_challenges.begin("second", _place_of(waiting), user_id=waiting.user.id)
    now = clock.now()
    able = [key for key in passkeys.passkeys_of(waiting.user.id) if not key.in_cooldown(now)]
    return ceremony, webauthn_challenges.request_options(ceremony, able, alone=False)


def finish(waiting: StartedPending, state: str, credential: Credential, client: ClientContext) -> AuthSession:
    """Open the session of the sign-in under way, if ``credential`` was signed by a passkey of its own account.

    :raises Rejected: ``two_factor_permission_denied`` when it has ended meanwhile; as signing in by a passkey alone
    """
    ceremony = webauthn_challenges.spend(state, "second", _place_of(waiting))
    if ceremony.user_id != waiting.user.id:
        raise Rejected("api_error")
    answer = webauthn_verification.read(credential)
    try:
        passkey, _, used = passkeys.check(answer, ceremony, alone=False, user=waiting.user)
        if passkey.in_cooldown(clock.now()):
            raise Rejected("webauthn_in_cooldown", field=webauthn_verification.FIELD)
        passkeys.use(passkey, used)
    except Rejected as refused:
        failed(refused, waiting.user, "second")
    return completion.complete(waiting, VerifiedFactor(passkeys.METHOD, verified=used.verified), client)


def _place_of(waiting: StartedPending) -> str:
    """Return what the ceremony is bound to: this very sign-in, which its cookie or handle opens."""
    return waiting.row.id
