"""Refused: why a report is not taken."""

from __future__ import annotations


class Refused(Exception):
    """A request that its provider can't have made, or that can't be checked yet.

    :ivar reason: a code for the log and the answer; says nothing that was sent
    :ivar status: 400 for what can't be read, 401 without credentials, 403 for wrong ones, 503 to have it sent again
    """

    def __init__(self, reason: str, status: int = 403) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
