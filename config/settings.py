"""``Settings``: every decision of the operator, typed, documented, and unchangeable once read."""

import socket
from typing import Any

from pydantic import ConfigDict, PrivateAttr, SecretStr, ValidationError

from config import checks, development, environment
from config.apps import AppSettings
from config.bounces import BounceSettings
from config.brand import BrandSettings
from config.console import ConsoleSettings
from config.delivery import DeliverySettings
from config.flows import JourneySettings
from config.limits import LimitSettings
from config.passkeys import PasskeySettings
from config.problems import NOT_CONFIGURED as NOT_CONFIGURED
from config.problems import ConfigurationError, Problem, from_validation
from config.registration import RegistrationSettings
from config.retention import KeepingSettings
from config.service import ServiceSettings

__all__ = ["ConfigurationError", "Problem", "Settings"]


class Settings(
    LimitSettings,
    KeepingSettings,
    AppSettings,
    ConsoleSettings,
    PasskeySettings,
    JourneySettings,
    RegistrationSettings,
    BounceSettings,
    DeliverySettings,
    BrandSettings,
    ServiceSettings,
    defer_build=True,
):
    """Every setting, unchangeable. ``Settings(name=value)`` reads no environment; ``Settings.load()`` does.

    The fields stand, by subject, in the classes above. Made by hand, values are checked for their
    type alone; ``load`` also refuses what is unsafe to start with (``config.checks``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)

    _noticed: tuple[Problem, ...] = PrivateAttr(default=())
    _given: frozenset[str] | None = PrivateAttr(default=None)
    _from_files: frozenset[str] = PrivateAttr(default=frozenset())

    @property
    def noticed(self) -> tuple[Problem, ...]:
        """Warnings that loading these settings from the environment gave; none when they were made by hand."""
        return self._noticed

    @property
    def given(self) -> frozenset[str]:
        """Names of the settings that were set, by the environment or by hand; the others have their default."""
        return frozenset(self.model_fields_set) if self._given is None else self._given

    @property
    def from_files(self) -> frozenset[str]:
        """Names of those that ``_FILE`` variables set."""
        return self._from_files

    @staticmethod
    def load() -> "Settings":
        """Read the environment and its files, check everything, and return the settings.

        In development without keys, one is drawn and kept in ``var/dev-secrets``. ``noticed`` has what is allowed but
        weaker than it could be; the application logs it, as its logs are set.

        :raises ConfigurationError: with all problems found; its text holds no value of a setting
        """
        try:
            settings = Settings.model_validate(environment.read(Settings.model_fields))
        except ValidationError as error:
            raise ConfigurationError(from_validation(error)) from None
        if found := checks.problems(settings):
            raise ConfigurationError(found)
        settings._given = frozenset(settings.model_fields_set)  # before development completes them
        settings._from_files = frozenset(environment.names_from_files(Settings.model_fields))
        settings._noticed = (*checks.unread_variables(settings), *checks.warnings(settings))
        return settings.completed()

    @staticmethod
    def load_or_exit() -> "Settings":
        """Load the settings, or say on standard error what to mend and end the process with status 78.

        As ``ConfigurationError.exit``.
        """
        try:
            return Settings.load()
        except ConfigurationError as error:
            error.exit()

    def completed(self) -> "Settings":
        """Return these settings with a development key where one is missing, and without SMS that can't be sent."""
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
        """Whether an account can be created with a phone number, where its owner may create one at all."""
        return self.registration_by_phone and "sms" in self.methods and "phone" in self.identity_attributes

    @property
    def replica(self) -> str:
        """What this machine or container is called in logs, traces and heartbeats."""
        return self.replica_name or socket.gethostname()[:60]

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite:")

    @property
    def can_send_sms(self) -> bool:
        """Whether everything the chosen SMS provider needs is set."""
        return self.has_twilio if self.sms_provider == "twilio" else bool(self.sms_url)

    @property
    def has_twilio(self) -> bool:
        """Whether everything that Twilio needs is set."""
        return bool(self.twilio_account_sid and self.twilio_auth_token.get_secret_value() and self.twilio_sender)

    @property
    def can_recover(self) -> bool:
        """Whether accounts can be recovered: by mail, and not switched off."""
        return self.recovery_starts > 0 and "email" in self.methods

    @property
    def key_texts(self) -> list[str]:
        """The master keys themselves, current one first. Never for a log or a page."""
        return [key.get_secret_value() for key in self.secret_keys]

    @property
    def cookie_prefix(self) -> str:
        """``__Host-`` where cookies travel by HTTPS alone; empty on a developer's http:// address."""
        return "__Host-" if self.is_production or self.public_url.startswith("https://") else ""
