"""Rejected and ReauthenticationRequired: expected rejections. Any other exception is a 500."""

from collections.abc import Sequence
from typing import Any


class Rejected(Exception):
    """An expected rejection that a user or API client can act on. What was recorded before it is committed.

    :ivar code: stable lower-case code for API clients, ``"invalid_password_code"``; texts are in ``app.web.messages``
    :ivar field: form field it belongs to, or "" for the whole form
    :ivar status: HTTP status of the response, 400 to 499
    :ivar facts: values for the text and the response, such as ``retry_after=30``; never a secret
    """

    def __init__(self, code: str, field: str = "", status: int = 400, **facts: Any) -> None:
        super().__init__(code)
        self.code = code
        self.field = field
        self.status = status
        self.facts = facts


class ReauthenticationRequired(Exception):
    """A sensitive operation was requested, but the last authentication is too old or too weak for it (ASVS 7.5.1).

    It is an exception so that any package can require reauthentication without knowing where it takes place.

    :ivar methods: names of the user's methods that would be sufficient
    :ivar too_weak: whether the last authentication is recent enough, but not strong enough
    :ivar said_as: the methods as part of a sentence: ``your passkey``
    :ivar has_passkey: whether the methods include a passkey
    :ivar back: path to which a browser returns afterwards, or "" for the requested one
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
