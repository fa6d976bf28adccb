"""Rejected and ReauthenticationRequired: expected refusals. Anything else that is raised is a 500."""

from collections.abc import Sequence
from typing import Any


class Rejected(Exception):
    """An expected no, which a person or a program can act on. What was recorded before it is kept.

    :ivar code: stable for programs, lower case: ``"invalid_password_code"``; its words stand in ``app.web.messages``
    :ivar field: the form field it belongs to, or "" for the form as a whole
    :ivar status: the HTTP status of the answer, 400 to 499
    :ivar facts: values for the words and for the answer, such as ``retry_after=30``; never a secret
    """

    def __init__(self, code: str, field: str = "", status: int = 400, **facts: Any) -> None:
        super().__init__(code)
        self.code = code
        self.field = field
        self.status = status
        self.facts = facts


class ReauthenticationRequired(Exception):
    """A sensitive step was asked for, and the last proof of who is there is too old for it, or too weak (ASVS 7.5.1).

    An exception, so that a package can ask for a new proof without knowing where that is given.
    :ivar methods: names of what the person has set up by which a proof would do
    :ivar too_weak: whether there is a recent proof, and only not strong enough
    :ivar said_as: the methods as a sentence has them: ``your passkey``
    :ivar has_passkey: whether a passkey is among the methods
    :ivar back: the path to which a browser comes back with it, or "" for the one that was asked for
    """

    def __init__(
        self,
        methods: Sequence[str] = (),
        *,
        too_weak: bool = False,
        back: str = "",
        said_as: str = "",
        has_passkey: bool = False,
    ) -> None:
        super().__init__()
        self.methods = methods
        self.too_weak = too_weak
        self.back = back
        self.said_as = said_as
        self.has_passkey = has_passkey
