"""METHODS: every sign-in method this service knows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.enrollments.models import Enrollment
from app.extensions import settings


@dataclass(frozen=True, slots=True)
class Method:
    """One way to prove who you are.

    :ivar sends: the channel by which it sends a passcode, or "" when it sends nothing
    :ivar reaches: the kind of identity that it sends to, or ""
    :ivar amr: its name in an authentication method reference (RFC 8176)
    """

    name: str
    sends: str
    reaches: str
    amr: str


METHODS = {
    method.name: method
    for method in (
        Method("password", sends="", reaches="", amr="pwd"),
        Method("email", sends="mail", reaches="email", amr="otp"),
        Method("authenticator", sends="", reaches="", amr="otp"),
        Method("sms", sends="sms", reaches="phone", amr="sms"),
    )
}


def enabled_methods() -> list[str]:
    """Return the methods the operator allows, in their configured order."""
    return [name for name in settings.methods if name in METHODS]


def code_methods() -> list[str]:
    """Return the allowed methods that send a passcode."""
    return [name for name in enabled_methods() if METHODS[name].sends]


def usable_methods(enrolled: Iterable[Enrollment]) -> list[str]:
    """Return the names of what proves anything among ``enrolled``, in configured order, each once."""
    names = {row.method for row in enrolled if not row.is_pending}
    return [name for name in enabled_methods() if name in names]


def active_methods(enrolled: Iterable[Enrollment]) -> list[str]:
    """Return the names of the ways to sign in among ``enrolled``, in configured order, each once."""
    return usable_methods(ways_to_sign_in(enrolled))


def ways_to_sign_in(enrolled: Iterable[Enrollment]) -> list[Enrollment]:
    """Return those among ``enrolled`` that are ways to sign in; of an app that is a second step alone, nothing.

    An app that was made the second step before the two were told apart stays one where it is the only one (ADR 37).
    """
    rows, asked = list(enrolled), settings.second_factor != "off"
    ways = [row for row in rows if not row.is_second_alone(asked=asked)]
    if usable_methods(ways) or any(row.method == "webauthn" for row in rows):
        return ways
    return [row for row in rows if row.signs_in is None]
