"""What every layer knows of a sign-in method. The only list of them is ``app.authenticators.registry``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, cast

from app.extensions import settings, this_app

if TYPE_CHECKING:
    from flask import Flask

    from app.enrollments.models import Enrollment

WEAK, STRONG, STRONGEST = 1, 2, 3
"""What a proof is worth: a code that is sent, or a password; what only a device has; what a device has and asks for."""

MOST_SENDING = 4
"""Methods that send codes, at most: statements have a parameter for each."""


class Method(Protocol):
    """One way to prove who you are, without what it does (``app.authenticators.base.Authenticator``).

    :ivar name: in settings, requests, answers and rows; at most 16 characters
    :ivar amr: its name in an authentication method reference (RFC 8176)
    :ivar strength: what a proof by it is worth: ``WEAK``, ``STRONG`` or ``STRONGEST``
    :ivar aliases: other names that ``auth_session.amr`` may have for a proof by it
    :ivar sends: the channel by which it sends a passcode, or "" when it sends nothing
    :ivar reaches: the kind of identity that it sends to, or ""
    :ivar owns_identity: whether that identity is added and removed together with it
    :ivar has_link: whether what it sends also holds a link
    :ivar is_typed: whether it is proved by something that is typed at sign-in
    :ivar verifies_user: whether a proof by it may say that it has verified its user (``uv``), and is two factors then
    :ivar is_chosen: whether its owner makes the secret up, so that it can be guessed without a budget of its own
    :ivar allows_many: whether one account may have several, each with a name
    :ivar has_own_pages: whether it has pages and settings of its own, and ``LATCHKEY_METHODS`` does not name it
    :ivar second_rank: its place among second factors, the strongest first; 0 when it can't be one
    :ivar second_signs_in: whether it goes on signing in by itself once it is a second factor
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
    is_chosen: bool = False
    allows_many: bool = False
    has_own_pages: bool = False
    second_rank: int = 0
    second_signs_in: bool = True

    @property
    def is_enabled(self) -> bool:
        """Whether the operator allows it."""
        return self.name in settings.methods

    @property
    def digits(self) -> int:
        """Digits of its passcodes."""
        return 6

    @property
    def code_lifetime(self) -> timedelta:
        """How long a passcode that it sent works."""
        return settings.email_code_lifetime

    @property
    def resend_wait(self) -> timedelta:
        """How long nothing more is sent after a passcode was."""
        return settings.mail_resend_wait

    def is_pending(self, enrollment: Enrollment) -> bool:
        """Say whether this enrollment of it waits for something, and opens nothing until then."""
        return False

    def is_second_alone(self, enrollment: Enrollment, *, asked: bool) -> bool:
        """Say whether this enrollment of it is a second factor that signs nobody in by itself.

        :param asked: whether anybody is asked for a second factor here (``LATCHKEY_SECOND_FACTOR``)
        """
        return False


class _Unknown(Method):
    """A method that this release does not know: a later one may have stored its name. It proves nothing."""

    amr, strength = "", WEAK
    is_enabled = False

    def __init__(self, name: str) -> None:
        self.name = name


def register_methods(app: Flask, methods: Sequence[Method]) -> None:
    """Let ``app`` know these methods and no others, in their order."""
    app.extensions["latchkey.methods"] = {each.name: each for each in methods}
    app.extensions["latchkey.method_aliases"] = {alias: each.name for each in methods for alias in each.aliases}
    if sum(each.sends != "" for each in methods) > MOST_SENDING:
        raise ValueError(f"at most {MOST_SENDING} methods can send codes (MOST_SENDING)")


def methods() -> Mapping[str, Method]:
    """Return every method by its name."""
    return cast("Mapping[str, Method]", this_app().extensions["latchkey.methods"])


def method_of(name: str) -> Method:
    """Return the method of this name, whether enabled or not; for an unknown name one that proves nothing."""
    return methods().get(name) or _Unknown(name)


def method_behind(proof: str) -> str:
    """Return the name of the method that a proof is by, as ``auth_session.amr`` names proofs."""
    aliases: Mapping[str, str] = this_app().extensions["latchkey.method_aliases"]
    return aliases.get(proof, proof)


def enabled_methods() -> list[str]:
    """Return the methods that ``LATCHKEY_METHODS`` allows, in its order."""
    known = methods()
    return [name for name in settings.methods if name in known]


def code_methods() -> list[str]:
    """Return the allowed methods that send a passcode."""
    known = methods()
    return [name for name in settings.methods if name in known and known[name].sends]


def typed_methods() -> list[str]:
    """Return the allowed methods that are typed without anything being sent: a password, the code of an app."""
    known = methods()
    return [name for name in settings.methods if name in known and known[name].is_typed and not known[name].sends]


def methods_reaching(kind: str) -> list[str]:
    """Return the allowed methods that send to this kind of identity."""
    return [name for name in code_methods() if method_of(name).reaches == kind]


def second_factor_methods() -> list[str]:
    """Return every method that can be a second factor, enabled or not, the strongest first."""
    able = [each for each in methods().values() if each.second_rank]
    return [each.name for each in sorted(able, key=lambda each: each.second_rank)]


def usable_methods(enrolled: Iterable[Enrollment]) -> list[str]:
    """Return the names of what proves anything among ``enrolled``, in configured order, each once."""
    names = {row.method for row in enrolled if not row.is_pending}
    return [name for name in enabled_methods() if name in names]


def active_methods(enrolled: Iterable[Enrollment]) -> list[str]:
    """Return the names of the ways to sign in among ``enrolled``, in configured order, each once."""
    return usable_methods(ways_to_sign_in(enrolled))


def ways_to_sign_in(enrolled: Iterable[Enrollment]) -> list[Enrollment]:
    """Return those among ``enrolled`` that are ways to sign in; of an app that is a second factor alone, nothing.

    An app that was made the second factor before the two were told apart stays one where it is the only one (ADR 37).
    """
    rows, asked = list(enrolled), settings.second_factor != "off"
    ways = [row for row in rows if not row.is_second_alone(asked=asked)]
    if usable_methods(ways) or any(not method_of(row.method).is_typed for row in rows):
        return ways
    return [row for row in rows if row.signs_in is None]
