"""Newcomers: a code that went to an address without an account opens one there.

The challenge is the same row that anybody unknown gets, a decoy: neither asking nor its row tells who has an account.
Where people can open accounts themselves its code and link leave in a mail, and answering it is the confirmation.
"""

from __future__ import annotations

import sqlalchemy as sa

from app.audit import record, signals
from app.extensions import changed, settings
from app.kit.refusals import Refused
from app.methods import enrollment
from app.methods.models import Challenge
from app.methods.registry import enabled_methods
from app.users import TypedIdentity, User, create_user

PURPOSE = "sign_in"


def may_join(typed: TypedIdentity | None, method: str) -> bool:
    """Say whether an account can be opened for whom nobody knows by a code that ``method`` sends."""
    by_mail = typed is not None and typed.kind == "email" and method == "email"
    return settings.registration and settings.generic_responses and by_mail and "email" in enabled_methods()


def is_newcomers(challenge: Challenge) -> bool:
    """Say whether the answer to ``challenge`` opens an account: it went to an address that nobody had."""
    nobodys = challenge.user_id is None and challenge.purpose == PURPOSE and not challenge.secret
    return nobodys and "@" in challenge.destination and may_join(_typed(challenge), challenge.method)


def open_account(challenge: Challenge) -> User:
    """Open the account of whom the challenge's mail went to. It was just spent; that it is theirs is proved by it.

    :raises Refused: ``generic_authn_failed`` when the address has got an account meanwhile
    """
    try:
        user = create_user(_typed(challenge), confirmed=True)
    except Refused:
        raise Refused("generic_authn_failed") from None
    enrollment.enroll(user.id, "email")
    changed(sa.update(Challenge).where(Challenge.id == challenge.id).values(user_id=user.id))
    record("account.created", user.id, challenge_id=challenge.id)
    record("address.confirmed", user.id, challenge_id=challenge.id, method="email")
    signals.send(signals.user_registered, user=user, confirmation_token=None, form_data={})
    signals.send(signals.user_confirmed, user=user)
    return user


def _typed(challenge: Challenge) -> TypedIdentity:
    return TypedIdentity("email", challenge.destination)
