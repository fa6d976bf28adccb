"""Properties of the sign-in methods, for use in every layer. ``app.authenticators.registry`` lists the methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, cast

from app.extensions import settings, this_app

if TYPE_CHECKING:
    from flask import Flask

    from app.enrollments.models import Enrollment

WEAK, STRONG, STRONGEST = 1, 2, 3
"""Strength of a verification: a sent code or password; possession of a device; a device that also verifies its user."""

MAX_SENDING = 4
"""Maximum number of methods that send codes, since SQL statements have one parameter for each."""


class Method(Protocol):
    """Properties of a sign-in method. Its behavior is in ``app.authenticators.base.Authenticator``.

    :ivar name: name in settings, requests, responses and rows; at most 16 characters
    :ivar amr: its Authentication Method Reference value (RFC 8176)
    :ivar strength: strength of a verification by it: ``WEAK``, ``STRONG`` or ``STRONGEST``
    :ivar aliases: other names that it may have in ``auth_session.amr``
    :ivar sends: the channel by which it sends passcodes, or "" if it sends none
    :ivar reaches: the kind of identity that it sends to, or ""
    :ivar owns_identity: whether that identity is added and removed together with it
    :ivar has_link: whether its messages also contain a link
    :ivar is_typed: whether it is verified by something that people type to sign in
    :ivar verifies_user: whether it can report user verification (``uv``), and then counts as two factors
    :ivar is_user_chosen: whether its owner chooses the secret, so that guesses need a separate limit
    :ivar allows_many: whether one account may have several, each with a name
    :ivar has_own_pages: whether it has pages and settings of its own, and isn't listed in ``LATCHKEY_METHODS``
    :ivar second_rank: its rank among second factors, the strongest first; 0 if it can't be one
    :ivar usable_alone_as_second: whether it can still be used alone to sign in once it is a second factor
    """

    name: str
    amr: str
    strength: int
    aliases: tuple[str, ...] = ()
    sends: str = ""
    reaches: str = ""
    owns_identity: bool = False
    has_link: bool = False
    is_typed: bool = True
    verifies_user: bool = False
    is_user_chosen: bool = False
    allows_many: bool = False
    has_own_pages: bool = False
    second_rank: int = 0
    usable_alone_as_second: bool = True

    @property
    def is_enabled(self) -> bool:
        """Whether the settings allow this method."""
        return self.name in settings.methods

    @property
    def digits(self) -> int:
        """Number of digits in its passcodes."""
        return 6

    @property
    def code_lifetime(self) -> timedelta:
        """How long the passcodes it sends are valid."""
        return settings.email_code_lifetime

    @property
    def resend_wait(self) -> timedelta:
        """Minimum time between two sends."""
        return settings.mail_resend_wait

    def is_pending(self, enrollment: Enrollment) -> bool:
        """Return whether this enrollment isn't active yet and can't be used to sign in."""
        return False

    def is_second_factor_only(self, enrollment: Enrollment, *, uses_second_factors: bool) -> bool:
        """Return whether this enrollment is only a second factor and can't be used alone to sign in.

        :param uses_second_factors: whether this service uses second factors at all (``LATCHKEY_SECOND_FACTOR``)
        """
        return False


class _Unknown(Method):
    """A method unknown to this release, whose name a later release may have stored. It verifies nothing."""

    amr, strength = "", WEAK
    is_enabled = False

    def __init__(self, name: str) -> None:
        self.name = name


def register_methods(app: Flask, methods: Sequence[Method]) -> None:
    """Register the methods of ``app``, in this order. Replaces any registered before."""
    app.extensions["latchkey.methods"] = {each.name: each for each in methods}
    app.extensions["latchkey.method_aliases"] = {alias: each.name for each in methods for alias in each.aliases}
    if sum(each.sends != "" for each in methods) > MAX_SENDING:
        raise ValueError(f"at most {MAX_SENDING} methods can send codes (MAX_SENDING)")


def methods() -> Mapping[str, Method]:
    """Return all methods, keyed by name."""
    return cast("Mapping[str, Method]", this_app().extensions["latchkey.methods"])


def method_of(name: str) -> Method:
    """Return the method with this name, enabled or not; for an unknown name, a method that verifies nothing."""
    return methods().get(name) or _Unknown(name)


def method_behind(amr_name: str) -> str:
    """Return the name of the method for a name in ``auth_session.amr``, resolving aliases."""
    aliases: Mapping[str, str] = this_app().extensions["latchkey.method_aliases"]
    return aliases.get(amr_name, amr_name)


def enabled_methods() -> list[str]:
    """Return the methods in ``LATCHKEY_METHODS``, in that order."""
    known = methods()
    return [name for name in settings.methods if name in known]


def code_methods() -> list[str]:
    """Return the enabled methods that send a passcode."""
    known = methods()
    return [name for name in settings.methods if name in known and known[name].sends]


def typed_methods() -> list[str]:
    """Return the enabled methods that are typed but not sent: a password or the code of an authenticator app."""
    known = methods()
    return [name for name in settings.methods if name in known and known[name].is_typed and not known[name].sends]


def methods_reaching(kind: str) -> list[str]:
    """Return the enabled methods that send to this kind of identity."""
    return [name for name in code_methods() if method_of(name).reaches == kind]


def second_factor_methods() -> list[str]:
    """Return all methods that can be a second factor, enabled or not, the strongest first."""
    able = [each for each in methods().values() if each.second_rank]
    return [each.name for each in sorted(able, key=lambda each: each.second_rank)]


def usable_methods(enrolled: Iterable[Enrollment]) -> list[str]:
    """Return the distinct methods in ``enrolled`` that are enabled and not pending, in configured order."""
    names = {row.method for row in enrolled if not row.is_pending}
    return [name for name in enabled_methods() if name in names]


def active_methods(enrolled: Iterable[Enrollment]) -> list[str]:
    """Return the distinct methods in ``enrolled`` that can be used to sign in, in configured order."""
    return usable_methods(sign_in_enrollments(enrolled))


def sign_in_enrollments(enrolled: Iterable[Enrollment]) -> list[Enrollment]:
    """Return the enrollments that can be used to sign in, without authenticator apps that are only a second factor.

    An app that became the second factor before this distinction existed still signs in if nothing else can (ADR 37).
    """
    rows, uses_second_factors = list(enrolled), settings.second_factor != "off"
    usable = [row for row in rows if not row.is_second_factor_only(uses_second_factors=uses_second_factors)]
    if usable_methods(usable) or any(not method_of(row.method).is_typed for row in rows):
        return usable
    return [row for row in rows if row.signs_in is None]
