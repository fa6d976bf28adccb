"""Magic links: signed, bound to purpose, origin and challenge, with a 256-bit secret; they may create an account.

The signature rejects garbage without a database lookup; the challenge's row decides whether a link is still valid
(ASVS 6.5.1, 9.2.2). A code or link sent to an email or phone number without an account creates one (ADR 38). Its
challenge is the decoy that every unknown identity gets, so neither the request nor the row reveals who has an account.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from app.challenges.models import Challenge
from app.challenges.passcodes import link_secret_of, root_of
from app.challenges.send_limits import may_be_texted
from app.crypto import secrets
from app.crypto.signed_tokens import SignedToken
from app.db.compiled import CompiledStatement, Detached
from app.enrollments.methods import method_of
from app.enrollments.models import Enrollment, has_second
from app.extensions import keyring, settings
from app.users import TypedIdentity, User, registration

MAGIC_LINK = SignedToken("link", has_secret=True)  # expires with its challenge
REGISTERS_FOR = "sign_in"
"""Purpose of the challenges that may create an account."""

_ROWS = Detached(Challenge, Enrollment, User)
_challenge, _enrolled, _user = Challenge.__table__, Enrollment.__table__, User.__table__
_BY_ID = CompiledStatement(
    _ROWS.select()
    .add_columns(has_second(_challenge.c.user_id))
    .select_from(
        _challenge.outerjoin(_user, _user.c.id == _challenge.c.user_id).outerjoin(
            _enrolled, _enrolled.c.id == _challenge.c.enrolled_id
        )
    )
    .where(_challenge.c.id == sa.bindparam("id"), _challenge.c.purpose == sa.bindparam("purpose"))
)


@dataclass(frozen=True, slots=True)
class OpenedLink:
    """A link with a valid signature and secret, and the rows it names.

    :ivar user: None when there is no account yet: the link creates it
    :ivar has_second: whether the user has a second factor
    :ivar has_expired: whether the token has expired. Its challenge may be valid for longer, if it was resent
    """

    challenge: Challenge
    enrolled: Enrollment | None
    user: User | None
    has_second: bool = False
    has_expired: bool = False


def link_token(challenge: Challenge, root: bytes) -> str:
    """Return the token in the link of ``challenge``; the same on every call."""
    secret = link_secret_of(challenge, root)
    at = (challenge.id, challenge.expires_at)
    return MAGIC_LINK.sign(keyring, settings.public_url, *at, secret=secret, scope=challenge.purpose)


def open_link(token: str, purpose: str) -> OpenedLink | None:
    """Return the opened link if ``token`` is one of ours for ``purpose``, even if spent; else None.

    One statement; none if the token was truncated, changed or issued for another purpose.
    """
    claims = MAGIC_LINK.verify(keyring, settings.public_url, token, scope=purpose)
    if claims is None:
        return None
    found = _BY_ID.first(id=claims.id, purpose=purpose)
    if found is None:
        return None
    challenge, enrolled, user = _ROWS.read(found)
    if user is None and not registers_account(challenge):
        return None
    if user is not None and enrolled is None and not challenge.secret:
        return None
    if not secrets.same(claims.secret, link_secret_of(challenge, root_of(challenge, enrolled))):
        return None
    return OpenedLink(challenge, enrolled, user, bool(found[-1]), claims.has_expired)


def may_register(typed: TypedIdentity | None, method: str) -> bool:
    """Return whether a code sent by ``method`` may create an account for an unknown identity."""
    if typed is None or not settings.generic_responses or not method_of(method).is_enabled:
        return False
    if typed.kind != method_of(method).reaches or not registration.may_register(typed):
        return False
    return typed.kind != "phone" or may_be_texted(typed.value)


def registers_account(challenge: Challenge) -> bool:
    """Return whether answering ``challenge`` creates an account: it was sent to an email or number without one."""
    is_unknown = challenge.user_id is None and challenge.purpose == REGISTERS_FOR and not challenge.secret
    is_address = challenge.destination.startswith("+") or "@" in challenge.destination
    return is_unknown and is_address and may_register(typed_identity(challenge), challenge.method)


def typed_identity(challenge: Challenge) -> TypedIdentity:
    """Return the email or phone number that ``challenge`` was sent to, as a typed identity."""
    return TypedIdentity(method_of(challenge.method).reaches, challenge.destination)
