"""Every authenticator there is: the one list of them. A new one is a module and a line here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from app.authenticators.base import Authenticator
from app.authenticators.password import Password
from app.authenticators.recovery_codes import RecoveryCodes
from app.authenticators.sent_codes import EmailCode, SmsCode
from app.authenticators.totp import Totp
from app.authenticators.webauthn.passkeys import WebAuthn
from app.enrollments.catalog import enabled_methods, methods, register_methods
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


def nameable() -> list[str]:
    """Return the names that ``LATCHKEY_METHODS`` and ``flask users create --method`` may give."""
    return [each.name for each in AUTHENTICATORS if not each.has_own_pages]


def register_authenticators(app: Flask) -> None:
    """Let ``app`` know every authenticator.

    :raises ConfigurationError: when a setting names a method that is none of them
    """
    register_methods(app, AUTHENTICATORS)
    settings = cast("Settings", app.extensions["latchkey.settings"])
    known = nameable()
    named = {"methods": settings.methods, "second_factor_for": settings.second_factor_for}
    wrong = [
        Problem(variable(field), "names what is no sign-in method", f"Use {', '.join(known)}.")
        for field, names in named.items()
        if not set(names) <= set(known)
    ]
    if wrong:
        raise ConfigurationError(wrong)


def authenticators() -> Sequence[Authenticator]:
    """Return every authenticator."""
    return cast("Sequence[Authenticator]", list(methods().values()))


def authenticator_of(name: str) -> Authenticator:
    """Return the authenticator of this name.

    :raises KeyError: when this release has none of that name
    """
    return cast("Authenticator", methods()[name])


def recognize(passcode: str | int) -> list[Authenticator]:
    """Return the enabled authenticators that a passcode of this form could be for: those that send first.

    In configured order otherwise. This is the one place that tells what was typed.
    """
    able = [authenticator_of(name) for name in enabled_methods()]
    fitting = [each for each in able if each.could_be(passcode)]
    return sorted(fitting, key=lambda each: each.sends == "")


def methods_provable_by(passcode: str | int) -> list[str]:
    """Return the names of what can be set up by proving it with a passcode of this form."""
    able = [each for each in authenticators() if not each.has_own_pages]
    return [each.name for each in able if each.is_chosen or each.could_be(passcode)]
