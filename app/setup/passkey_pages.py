"""What pages show of somebody's passkeys."""

from __future__ import annotations

from typing import Any

from app.extensions import settings
from app.kit import clock
from app.methods import Passkey
from app.methods.ceremonies import handle_text
from app.methods.passkeys import passkeys_of
from app.users import User


def shown_passkeys(user: User, mine: list[Passkey] | None = None) -> dict[str, Any]:
    """Return what the card of passkeys needs.

    :param mine: the user's passkeys, where they were looked up already
    """
    return {
        "passkeys": passkeys_of(user.id) if mine is None else mine,
        "now": clock.now(),
        "available": settings.can_use_passkeys,
        "rp_id": settings.rp_id,
        "user_handle": handle_text(user),
    }
