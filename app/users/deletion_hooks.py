"""What ends when an account is closed for deletion, in packages above the one that closes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from app.extensions import this_app

if TYPE_CHECKING:
    from flask import Flask

DeletionHook = Callable[[int], None]
"""Called with the user's id, in the transaction that closes the account, which is locked."""

_REGISTERED = "latchkey.deletion_hooks"


def register_deletion_hook(app: Flask, hook: DeletionHook) -> None:
    """Register what a feature ends when an account is closed: what would go on if its owner cancelled the deletion."""
    app.extensions.setdefault(_REGISTERED, []).append(hook)


def deletion_hooks() -> list[DeletionHook]:
    """Return what is registered with the app that runs."""
    return list(this_app().extensions.get(_REGISTERED, ()))
