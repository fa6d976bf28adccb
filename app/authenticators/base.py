"""What every authenticator returns."""

from __future__ import annotations

from dataclasses import dataclass

from app.challenges.models import Challenge
from app.throttling.by_account import LoginAttempt


@dataclass(frozen=True, slots=True)
class VerifiedFactor:
    """What a right passcode proved: the method, and the challenge it answered if there was one.

    :ivar pending: it was a password that opens nothing before the address is proved
    :ivar guess: what was counted for it; whoever uses the proof takes it back
    :ivar verified: it proves two factors in one, as a passkey does that has verified its user
    :ivar held: what proved it is in its cooldown, so that it counts no more than a mailed code
    """

    method: str
    challenge: Challenge | None = None
    pending: bool = False
    guess: LoginAttempt | None = None
    verified: bool = False
    held: bool = False
