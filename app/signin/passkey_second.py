"""The second step of a sign-in, taken with a passkey of whoever took the first."""

from __future__ import annotations

from typing import Any

from app import limits
from app.kit import clock
from app.kit.asking import Asker
from app.kit.refusals import Refused
from app.methods import ceremonies, passkey_answers, passkeys
from app.methods.models import Ceremony
from app.methods.proving import Proof
from app.sessions import arriving, pending
from app.sessions.models import AuthSession
from app.sessions.pending import Waiting
from app.signin.passkey import Credential, failed


def under_way(asker: Asker) -> Waiting | None:
    """Return the sign-in that waits for a second step which a passkey can take; None when none does."""
    waiting = pending.current(asker)
    return waiting if waiting is not None and passkeys.METHOD in waiting.choices else None


def begin(waiting: Waiting, asker: Asker) -> tuple[Ceremony, dict[str, Any]]:
    """Return a ceremony that takes the second step, and what the browser needs for it: whose keys will do is known.

    :raises Refused: ``too_many_requests``
    """
    limits.take("passkeys", asker.address)
    ceremony = ceremonies.begin("second", _place_of(waiting), user_id=waiting.user.id)
    now = clock.now()
    able = [key for key in passkeys.passkeys_of(waiting.user.id) if not key.in_cooldown(now)]
    return ceremony, ceremonies.request_options(ceremony, able, alone=False)


def finish(waiting: Waiting, state: str, credential: Credential, asker: Asker) -> AuthSession:
    """Open the session of the sign-in under way, if ``credential`` was signed by a passkey of its own account.

    :raises Refused: ``two_factor_permission_denied`` when it has ended meanwhile; as signing in by a passkey alone
    """
    ceremony = ceremonies.spend(state, "second", _place_of(waiting))
    if ceremony.user_id != waiting.user.id:
        raise Refused("api_error")
    answer = passkey_answers.read(credential)
    try:
        passkey, _, used = passkeys.check(answer, ceremony, alone=False, user=waiting.user)
        if passkey.in_cooldown(clock.now()):
            raise Refused("webauthn_in_cooldown", field=passkey_answers.FIELD)
        passkeys.use(passkey, used)
    except Refused as refused:
        failed(refused, waiting.user, "second")
    return arriving.complete(waiting, Proof(passkeys.METHOD, verified=used.verified), asker)


def _place_of(waiting: Waiting) -> str:
    """Return what the ceremony is bound to: this very sign-in, which its cookie or handle opens."""
    return waiting.row.id
