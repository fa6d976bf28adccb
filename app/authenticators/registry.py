"""The list of all authenticators. To add one, write a module and add a line here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from app.authenticators.base import Authenticator
from app.authenticators.password import Password
from app.authenticators.recovery_codes import RecoveryCodes
from app.authenticators.sent_codes import EmailCode, SmsCode
from app.authenticators.totp import Totp
from app.authenticators.webauthn.passkeys import WebAuthn
from app.enrollments.methods import enabled_methods, methods, register_methods
from config.problems import ConfigurationError, Problem, variable

if TYPE_CHECKING:
    from flask import Flask

    from config.settings import Settings

AUTHENTICATORS: list[Authenticator] = [
    Password(),
    EmailCode(),
    Totp(),
    SmsCode(),
    WebAuthn(),
    RecoveryCodes(),
]


def configurable_methods() -> list[str]:
    """Return the method names accepted by ``LATCHKEY_METHODS`` and ``flask users create --method``."""
    return [each.name for each in AUTHENTICATORS if not each.has_own_pages]


def register_authenticators(app: Flask) -> None:
    """Register all authenticators with ``app``.

    :raises ConfigurationError: if a setting names an unknown method
    """
    register_methods(app, AUTHENTICATORS)
    settings = cast("Settings", app.extensions["latchkey.settings"])
    known = configurable_methods()
    named = {"methods": settings.methods, "second_factor_for": settings.second_factor_for}
    wrong = [
        Problem(variable(field), "names what is no sign-in method", f"Use {', '.join(known)}.")
        for field, names in named.items()
        if not set(names) <= set(known)
    ]
    if wrong:
        raise ConfigurationError(wrong)


def authenticators() -> Sequence[Authenticator]:
    """Return all authenticators."""
    return cast("Sequence[Authenticator]", list(methods().values()))


def authenticator_of(name: str) -> Authenticator:
    """Return the authenticator with this name.

    :raises KeyError: if this release has none
    """
    return cast("Authenticator", methods()[name])


def recognize(passcode: str | int) -> list[Authenticator]:
    """Return the enabled authenticators that a passcode of this format could be for.

    Those that send codes come first, otherwise they are in configured order. Only this function decides what kind of
    passcode was typed.
    """
    able = [authenticator_of(name) for name in enabled_methods()]
    fitting = [each for each in able if each.could_be(passcode)]
    return sorted(fitting, key=lambda each: each.sends == "")


def methods_verifiable_by(passcode: str | int) -> list[str]:
    """Return the names of the methods that can be set up with a passcode of this format."""
    able = [each for each in authenticators() if not each.has_own_pages]
    return [each.name for each in able if each.is_user_chosen or each.could_be(passcode)]
