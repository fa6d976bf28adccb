"""Codes sent to an email without an account: answering one creates the account (ADR 38).

The challenge is the decoy that any unknown email gets: neither the request nor the row tells who has an account.
"""

from __future__ import annotations

from app.challenges.models import Challenge
from app.enrollments.catalog import enabled_methods
from app.extensions import settings
from app.users import TypedIdentity

PURPOSE = "sign_in"


def may_register(typed: TypedIdentity | None, method: str) -> bool:
    """Say whether a code sent by ``method`` may create an account for an unknown identity."""
    by_mail = typed is not None and typed.kind == "email" and method == "email"
    return settings.registration and settings.generic_responses and by_mail and "email" in enabled_methods()


def registers_account(challenge: Challenge) -> bool:
    """Say whether answering ``challenge`` creates an account: it went to an email that no account has."""
    nobodys = challenge.user_id is None and challenge.purpose == PURPOSE and not challenge.secret
    return nobodys and "@" in challenge.destination and may_register(typed_identity(challenge), challenge.method)


def typed_identity(challenge: Challenge) -> TypedIdentity:
    """Return the email that ``challenge`` was sent to, as if it had been typed."""
    return TypedIdentity("email", challenge.destination)
