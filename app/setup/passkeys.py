"""Create, rename and remove passkeys."""

from __future__ import annotations

from typing import Any

from app import throttling
from app.audit import record, signals
from app.authenticators.models import Passkey, WebauthnChallenge
from app.authenticators.webauthn import challenges as webauthn_challenges
from app.authenticators.webauthn import passkeys
from app.authenticators.webauthn import verification as webauthn_verification
from app.client import ClientContext
from app.errors import Rejected
from app.extensions import settings
from app.login import credential_changes
from app.login.credential_changes import lock_credentials, revoke_other_sessions
from app.login.freshness import freshen
from app.notifications import notices
from app.notifications.notices import sentence
from app.sessions.models import AuthSession
from app.setup.service import cooldown_text, cooldown_until, revoke_sessions_after_add
from app.users import User, identities_of

USAGES = ("first", "secondary")


def begin(
    user: User, session: AuthSession, name: str | None, usage: str | None, client: ClientContext
) -> tuple[WebauthnChallenge, dict[str, Any]]:
    """Start a registration ceremony; return it with the options for the browser.

    :param name: None to name the passkey after its authenticator
    :param usage: ``first`` can sign in alone; ``secondary``, the default, works only as a second factor
    :raises Rejected: ``us_method_not_available``; on ``name`` its validation error, or ``webauthn_name_inuse``; on
        ``usage`` ``invalid_choice``; ``webauthn_too_many``; ``too_many_requests``
    """
    _available()
    throttling.take("starts", client.ip_address)
    usage = usage or "secondary"
    if usage not in USAGES:
        raise Rejected("invalid_choice", field="usage")
    named = "" if name is None else passkeys.checked(name)
    mine = passkeys.passkeys_of(user.id)
    if any(key.name == named for key in mine):
        raise Rejected("webauthn_name_inuse", field="name", name=named)
    if len(mine) >= passkeys.MAX_PASSKEYS:
        raise Rejected("webauthn_too_many", most=passkeys.MAX_PASSKEYS)
    ceremony = webauthn_challenges.begin("create", session.session_id, user_id=user.id, name=named, usage=usage)
    return ceremony, webauthn_challenges.creation_options(ceremony, user, _label(user), mine)


def finish(
    user: User, session: AuthSession, state: str, credential: str | dict[str, Any], client: ClientContext
) -> Passkey:
    """Store the passkey that ``credential`` registers in the ceremony ``state``.

    :raises Rejected: ``api_error`` or ``webauthn_expired`` on the form; on ``credential`` its verification error
    """
    _available()
    ceremony = webauthn_challenges.spend(state, "create", session.session_id)
    if ceremony.user_id != user.id:
        raise Rejected("api_error")
    answer = webauthn_verification.parse(credential)
    made = webauthn_verification.verify_registration(answer, ceremony, verified=_must_verify(ceremony))
    lock_credentials(user, session)
    weak_until = cooldown_until(user, session, passkeys.METHOD, is_second=ceremony.usage != "first")
    passkey = passkeys.add(user.id, made, ceremony, session.session_id, weak_until)
    freshen(session, passkeys.amr_of(made.verified), in_cooldown=weak_until is not None)
    revoke_sessions_after_add(user, session, client, weak_until)
    record("factor.added", user.id, method=passkeys.METHOD, usage=passkey.usage)
    what = [sentence("A passkey was added."), *cooldown_text(weak_until)]
    notices.notify(user.id, what, client, session_id=session.session_id, by_text=weak_until is not None)
    signals.send(signals.wan_registered, user=user, name=passkey.name)
    return passkey


def rename(user: User, session: AuthSession, name: str, new_name: str) -> None:
    """Rename one of the user's passkeys.

    :raises Rejected: ``webauthn_name_not_found`` on ``name``; on ``new_name`` its validation error
    """
    tidy = passkeys.checked(new_name, "new_name")
    lock_credentials(user, session)
    if not passkeys.rename(user.id, name, tidy):
        raise Rejected("webauthn_name_not_found", field="name")
    record("passkey.renamed", user.id, method=passkeys.METHOD)


def remove(user: User, session: AuthSession, name: str, client: ClientContext) -> None:
    """Remove one of the user's passkeys by its name, unless it is the last sign-in method.

    :raises Rejected: ``webauthn_name_not_found``, ``last_method`` or ``last_second_factor`` on ``name``
    """
    lock_credentials(user, session)
    mine = passkeys.passkeys_of(user.id)
    passkey = next((key for key in mine if key.name == name), None)
    if passkey is None:
        raise Rejected("webauthn_name_not_found", field="name")
    credential_changes.check_removal(user, [passkeys.METHOD] if len(mine) == 1 else [], "name", passkey_id=passkey.id)
    passkeys.remove(user.id, passkey.id)
    revoke_other_sessions(user, session, client)
    record("factor.removed", user.id, method=passkeys.METHOD)
    notices.notify(user.id, sentence("A passkey was removed."), client, session_id=session.session_id)
    signals.send(signals.wan_deleted, user=user, name=name)


def _available() -> None:
    if not settings.can_use_passkeys:
        raise Rejected("us_method_not_available")


def _must_verify(ceremony: WebauthnChallenge) -> bool:
    return ceremony.usage == "first" and settings.passkey_user_verification == "required"


def _label(user: User) -> str:
    """Return the account name that the browser shows next to the passkey."""
    mine = identities_of(user.id)
    return mine.get("email") or mine.get("username") or mine.get("phone") or user.handle
