"""How a try to send can end other than well. A reason is short, and safe to store and to log."""

from __future__ import annotations


class Failed(Exception):
    """The message did not leave, or nobody can tell.

    :ivar reason: without address, text or anything that a server said
    :ivar permanent: no later try can end better
    """

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent


class Unreached(Failed):
    """The other side never heard of the message, so a further try costs nothing."""


class Postponed(Exception):
    """The channel rests. Nothing was tried; ask again in ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"rests for {seconds:.0f} s")
        self.seconds = seconds


class Interrupted(Exception):
    """This worker stops; the next one sends the message."""
