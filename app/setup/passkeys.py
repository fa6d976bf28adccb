"""Passkeys of somebody who is signed in: made, renamed and removed."""

from __future__ import annotations

from typing import Any

from app import limits
from app.audit import record, signals
from app.extensions import settings
from app.kit.asking import Asker
from app.kit.refusals import Refused
from app.methods import Passkey, ceremonies, notices, passkey_answers, passkey_names, passkeys, removing
from app.methods.models import Ceremony
from app.sessions.freshness import freshen
from app.sessions.models import AuthSession
from app.setup.flow import cooldown, cooldown_text, settle, shut_out_others, take_turns
from app.users import User, identities_of

USAGES = ("first", "secondary")


def begin(
    user: User, session: AuthSession, name: str | None, usage: str | None, asker: Asker
) -> tuple[Ceremony, dict[str, Any]]:
    """Return a ceremony that makes a passkey, and what the browser needs for it.

    :param name: None names it after its authenticator
    :param usage: ``first`` signs in alone; ``secondary``, and nothing, comes only after another way
    :raises Refused: ``us_method_not_available``; on ``name`` what is wrong with it, or ``webauthn_name_inuse``; on
        ``usage`` ``invalid_choice``; ``webauthn_too_many``; ``too_many_requests``
    """
    _available()
    limits.take("starts", asker.address)
    usage = usage or "secondary"
    if usage not in USAGES:
        raise Refused("invalid_choice", field="usage")
    named = "" if name is None else passkey_names.checked(name)
    mine = passkeys.passkeys_of(user.id)
    if any(key.name == named for key in mine):
        raise Refused("webauthn_name_inuse", field="name", name=named)
    if len(mine) >= passkeys.MOST:
        raise Refused("webauthn_too_many", most=passkeys.MOST)
    ceremony = ceremonies.begin("create", session.family, user_id=user.id, name=named, usage=usage)
    return ceremony, ceremonies.creation_options(ceremony, user, _label(user), mine)


def finish(user: User, session: AuthSession, state: str, credential: str | dict[str, Any], asker: Asker) -> Passkey:
    """Store the passkey that ``credential`` makes, in the ceremony that ``state`` names.

    :raises Refused: ``api_error`` or ``webauthn_expired`` on the form; on ``credential`` what is wrong with it
    """
    _available()
    ceremony = ceremonies.spend(state, "create", session.family)
    if ceremony.user_id != user.id:
        raise Refused("api_error")
    answer = passkey_answers.read(credential)
    made = passkey_answers.check_made(answer, ceremony, verified=_must_verify(ceremony))
    take_turns(user, session)
    weak_until = cooldown(user, session, passkeys.METHOD, is_second=ceremony.usage != "first")
    passkey = passkeys.add(user.id, made, ceremony, session.family, weak_until)
    freshen(session, passkeys.amr_of(made.verified), held=weak_until is not None)
    settle(user, session, asker, weak_until)
    record("factor.added", user.id, method=passkeys.METHOD, usage=passkey.usage)
    what = f"A passkey was added.{cooldown_text(weak_until)}"
    notices.tell(user.id, what, asker, family=session.family, by_text=weak_until is not None)
    signals.send(signals.wan_registered, user=user, name=passkey.name)
    return passkey


def rename(user: User, session: AuthSession, name: str, new_name: str) -> None:
    """Give one of the user's passkeys another name.

    :raises Refused: ``webauthn_name_not_found`` on ``name``; on ``new_name`` what is wrong with it
    """
    tidy = passkey_names.checked(new_name, "new_name")
    take_turns(user, session)
    if not passkeys.rename(user.id, name, tidy):
        raise Refused("webauthn_name_not_found", field="name")
    record("passkey.renamed", user.id, method=passkeys.METHOD)


def remove(user: User, session: AuthSession, name: str, asker: Asker) -> None:
    """Remove one of the user's passkeys by its name, unless nothing would be left to sign in with.

    :raises Refused: ``webauthn_name_not_found``, ``last_method`` or ``last_second_factor`` on ``name``
    """
    take_turns(user, session)
    mine = passkeys.passkeys_of(user.id)
    passkey = next((key for key in mine if key.name == name), None)
    if passkey is None:
        raise Refused("webauthn_name_not_found", field="name")
    removing.allow(user, [passkeys.METHOD] if len(mine) == 1 else [], "name", but=passkey.id)
    passkeys.remove(user.id, passkey.id)
    shut_out_others(user, session, asker)
    record("factor.removed", user.id, method=passkeys.METHOD)
    notices.tell(user.id, "A passkey was removed.", asker, family=session.family)
    signals.send(signals.wan_deleted, user=user, name=name)


def _available() -> None:
    if not settings.can_use_passkeys:
        raise Refused("us_method_not_available")


def _must_verify(ceremony: Ceremony) -> bool:
    return ceremony.usage == "first" and settings.passkey_user_verification == "required"


def _label(user: User) -> str:
    """Return what a browser calls the account beside its passkey."""
    mine = identities_of(user.id)
    return mine.get("email") or mine.get("username") or mine.get("phone") or user.handle
