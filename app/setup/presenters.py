"""Passkeys and methods in their cooldown, as pages show them."""

from __future__ import annotations

from typing import Any

from flask_login import current_user

from app import clock
from app.authenticators.assurance import new_methods
from app.authenticators.models import Passkey
from app.authenticators.presenters import title_of
from app.authenticators.webauthn.challenges import handle_text
from app.authenticators.webauthn.passkeys import passkeys_of
from app.extensions import settings
from app.users import User


def passkeys_context(user: User, mine: list[Passkey] | None = None) -> dict[str, Any]:
    """Return the context of the passkeys card.

    :param mine: the user's passkeys, if already looked up
    """
    return {
        "passkeys": passkeys_of(user.id) if mine is None else mine,
        "now": clock.now(),
        "available": settings.can_use_passkeys,
        "rp_id": settings.rp_id,
        "passkey_user": handle_text(user),
    }


def new_methods_context() -> list[dict[str, Any]]:
    """Return the signed-in user's sign-in methods that are in their cooldown. One statement."""
    if not current_user.is_authenticated:
        return []
    return [
        {"title": title_of(method.name), "added_at": method.added_at, "until": method.until}
        for method in new_methods(current_user.id)
    ]
