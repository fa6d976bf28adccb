"""What ends elsewhere when accounts leave a group, or it is deleted.

A feature registers it, since this package knows none. A hook runs in the transaction that takes the memberships away,
after them; what is to leave the service it adds to the outbox.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from app.extensions import this_app

if TYPE_CHECKING:
    from flask import Flask

MembershipEndHook = Callable[[Sequence[int]], None]
"""Called with the ids of the accounts, as many as there were in the group."""

_REGISTERED = "latchkey.membership_end_hooks"


def register_membership_end_hook(app: Flask, hook: MembershipEndHook) -> None:
    """Register what ends for accounts that are no longer in a group."""
    app.extensions.setdefault(_REGISTERED, []).append(hook)


def memberships_ended(user_ids: Sequence[int]) -> None:
    """Run what is registered for the end of memberships."""
    for hook in this_app().extensions.get(_REGISTERED, ()):
        hook(user_ids)
