"""``Settings``: all configuration of the service, typed, documented, and immutable once loaded."""

import socket
from typing import Any

from pydantic import ConfigDict, PrivateAttr, SecretStr, ValidationError

from config import checks, development, environment
from config.apps import AppSettings
from config.bounces import BounceSettings
from config.brand import BrandSettings
from config.console import ConsoleSettings
from config.delivery import DeliverySettings
from config.flows import FlowSettings
from config.limits import LimitSettings
from config.passkeys import PasskeySettings
from config.problems import NOT_CONFIGURED as NOT_CONFIGURED
from config.problems import ConfigurationError, Problem, from_validation
from config.registration import RegistrationSettings
from config.retention import RetentionSettings
from config.service import ServiceSettings

__all__ = ["ConfigurationError", "Problem", "Settings"]


class Settings(
    LimitSettings,
    RetentionSettings,
    AppSettings,
    ConsoleSettings,
    PasskeySettings,
    FlowSettings,
    RegistrationSettings,
    BounceSettings,
    DeliverySettings,
    BrandSettings,
    ServiceSettings,
    defer_build=True,
):
    """All settings, immutable. ``Settings(name=value)`` ignores the environment; ``Settings.load()`` reads it.

    The fields are defined by subject in the base classes. The constructor only validates types; ``load`` also rejects
    settings that are unsafe to start with (``config.checks``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)

    _warnings: tuple[Problem, ...] = PrivateAttr(default=())
    _explicit: frozenset[str] | None = PrivateAttr(default=None)
    _from_files: frozenset[str] = PrivateAttr(default=frozenset())

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Warnings from loading these settings from the environment; empty when they were constructed directly."""
        return self._warnings

    @property
    def explicit(self) -> frozenset[str]:
        """Names of the settings that were set, by the environment or the constructor; the others have their default."""
        return frozenset(self.model_fields_set) if self._explicit is None else self._explicit

    @property
    def from_files(self) -> frozenset[str]:
        """Names of the settings that were set by ``_FILE`` variables."""
        return self._from_files

    @staticmethod
    def load() -> "Settings":
        """Read the environment and its files, validate everything, and return the settings.

        In development without keys, one is generated and stored in ``var/dev-secrets``. ``warnings`` contains those
        about settings that are allowed but weak; the application logs them once logging is configured.

        :raises ConfigurationError: with all problems found; its text never contains the value of a setting
        """
        try:
            settings = Settings.model_validate(environment.read(Settings.model_fields))
        except ValidationError as error:
            raise ConfigurationError(from_validation(error)) from None
        if found := checks.problems(settings):
            raise ConfigurationError(found)
        settings._explicit = frozenset(settings.model_fields_set)  # before development defaults are added
        settings._from_files = frozenset(environment.names_from_files(Settings.model_fields))
        settings._warnings = (*checks.unread_variables(settings), *checks.warnings(settings))
        return settings.completed()

    @staticmethod
    def load_or_exit() -> "Settings":
        """Load the settings, or print the problems to standard error and exit with status 78.

        See ``ConfigurationError.exit``.
        """
        try:
            return Settings.load()
        except ConfigurationError as error:
            error.exit()

    def completed(self) -> "Settings":
        """Return these settings with a development key if none is set, and without SMS if it can't be sent."""
        changes: dict[str, Any] = {}
        if not self.is_production and not self.secret_keys:
            changes["secret_keys"] = tuple(SecretStr(key) for key in development.ensure_secrets())
        if self.is_production and "sms" in self.methods and not (self.can_send_sms and self.sms_countries):
            changes["methods"] = tuple(name for name in self.methods if name != "sms")
        return self.model_copy(update=changes) if changes else self

    @property
    def is_production(self) -> bool:
        return self.environment == "production"

    @property
    def can_register_by_phone(self) -> bool:
        """Accounts can be created with a phone number, wherever people can create accounts at all."""
        return self.registration_by_phone and "sms" in self.methods and "phone" in self.identity_attributes

    @property
    def replica(self) -> str:
        """Name of this machine or container in logs, traces and heartbeats."""
        return self.replica_name or socket.gethostname()[:60]

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite:")

    @property
    def can_send_sms(self) -> bool:
        """The chosen SMS provider is fully configured."""
        return self.has_twilio if self.sms_provider == "twilio" else bool(self.sms_url)

    @property
    def has_twilio(self) -> bool:
        """Twilio is fully configured."""
        return bool(self.twilio_account_sid and self.twilio_auth_token.get_secret_value() and self.twilio_sender)

    @property
    def can_recover(self) -> bool:
        """Account recovery is enabled, and so is email, which it requires."""
        return self.recovery_starts > 0 and "email" in self.methods

    @property
    def key_texts(self) -> list[str]:
        """The master keys in plaintext, current one first. Never log or display them."""
        return [key.get_secret_value() for key in self.secret_keys]

    @property
    def cookie_prefix(self) -> str:
        """``__Host-`` when cookies are sent over HTTPS only; empty for a developer's http:// address."""
        return "__Host-" if self.is_production or self.public_url.startswith("https://") else ""
