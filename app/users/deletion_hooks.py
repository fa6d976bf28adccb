"""What ends with an account that is closed to be erased, in rooms that the one that closes it does not know."""

from __future__ import annotations

from collections.abc import Callable

DeletionHook = Callable[[int], None]
DELETION_HOOKS: list[DeletionHook] = []
"""Called with the user's number, in the transaction that closes the account, which is held."""


def on_deletion(function: DeletionHook) -> DeletionHook:
    """Register what a journey ends when an account is closed: what would go on if its owner thought better of it."""
    if function not in DELETION_HOOKS:
        DELETION_HOOKS.append(function)
    return function
