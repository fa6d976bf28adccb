"""The first proof of an account's address, and what it sweeps away."""

from __future__ import annotations

from app.audit import record, signals
from app.methods import enrollment
from app.methods.models import Challenge
from app.methods.registry import REGISTRY
from app.users import User, confirm

PROVE_NO_ADDRESS = ("password", "authenticator")
"""Methods that open no account whose address is unproved."""


def prove_address(user: User, challenge: Challenge, *, same_browser: bool = False) -> bool:
    """Note that the address ``challenge`` went to is the user's; return whether it is the account's first proof.

    With the first proof goes every credential that was set up before it, for whoever opened the account may have
    been somebody else; unless this is the browser in which it was opened.
    """
    first = confirm(user, REGISTRY[challenge.method].reaches, challenge.destination)
    if first:
        for method in () if same_browser else PROVE_NO_ADDRESS:
            enrollment.remove(user.id, method)
        record("address.confirmed", user.id, method=challenge.method)
        signals.send(signals.user_confirmed, user=user)
    return first
