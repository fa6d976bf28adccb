"""A user's identities as pages and JSON show them."""

from __future__ import annotations

from typing import Any

from flask_login import current_user

from app.authenticators.presenters import sent_code_context
from app.challenges.models import Challenge
from app.enrollments.methods import methods_reaching
from app.extensions import settings
from app.login.presenters import label_of
from app.outbox import suppressions
from app.sessions.models import AuthSession
from app.sessions.store import current_session
from app.users import Identity, identities_of
from app.web.respond import wants_json


def required_session() -> AuthSession:
    """Return the session of this request; ``login_required`` guarantees that there is one."""
    session = current_session()
    assert session is not None
    return session


def user_label() -> str | None:
    """Return the signed-in user's label for pages; None for API clients."""
    return None if wants_json() else label_of(identities_of(current_user.id))


def pending_facts(challenge: Challenge) -> dict[str, Any]:
    """Return what a page shows of an address whose code is pending."""
    return sent_code_context(challenge, challenge.destination) | {"purpose": challenge.purpose}


def identity_facts(rows: list[Identity]) -> list[dict[str, Any]]:
    """Return an account's identities as pages and JSON show them, in the given order. One SQL statement."""
    suppressed = suppressions.reasons_for({row.value for row in rows if row.kind == "email"})
    return [
        {
            "kind": row.kind,
            "value": row.value,
            "primary": row.is_primary,
            "added_at": row.created_at,
            "confirmed_at": row.confirmed_at,
            "undelivered": row.kind == "email" and row.value in suppressed,
        }
        for row in rows
    ]


def permission_facts(rows: list[Identity]) -> dict[str, Any]:
    """Return which identities can be added: another address, a phone number, a username."""
    kinds = [row.kind for row in rows]
    return {
        "may_add_email": kinds.count("email") < settings.emails_per_account,
        "may_add_phone": bool(methods_reaching("phone")),
        "may_have_username": "username" in settings.identity_attributes,
    }
