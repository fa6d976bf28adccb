"""What every account page shows of the ways to sign in."""

from __future__ import annotations

from typing import Any

from flask_login import current_user

from app.methods.probation import new_methods
from app.methods.showing import TITLES


def new_methods_shown() -> list[dict[str, Any]]:
    """Return the sign-in methods in their cooldown of whoever is signed in. One statement."""
    if not current_user.is_authenticated:
        return []
    return [
        {"title": TITLES[method.name], "added_at": method.added_at, "until": method.until}
        for method in new_methods(current_user.id)
    ]
