"""Settings as an operator may see them: everything but the secrets."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from config.environment import SECRETS
from config.problems import variable
from config.settings import Settings
from config.subjects import SUBJECTS

_USER = re.compile(r"://[^/?#,\s]*@")

DEFAULT, ENVIRONMENT, FROM_FILE = "default", "environment", "file"


@dataclass(frozen=True)
class ShownSetting:
    """One setting as an operator may see it.

    :ivar variable: the name of its environment variable
    :ivar value: as the environment would hold it, "" for none; masked where it holds a secret
    :ivar source: ``default``, ``environment``, or ``file`` for one that ``<variable>_FILE`` names
    :ivar secret: whether it can hold a secret
    """

    variable: str
    value: str
    source: str
    secret: bool
    description: str


def by_subject(settings: Settings, *, changed_only: bool) -> dict[str, list[ShownSetting]]:
    """Return the settings by subject, as docs/settings.md has them; subjects without any are left out.

    :param changed_only: only those that do not have their default because of the environment or a file
    """
    found = {
        subject: [
            _described(settings, name) for name in names if not changed_only or _source(settings, name) != DEFAULT
        ]
        for subject, names in SUBJECTS.items()
    }
    return {subject: each for subject, each in found.items() if each}


def _described(settings: Settings, name: str) -> ShownSetting:
    field, value = Settings.model_fields[name], shown_value(name, getattr(settings, name))
    description = (field.description or "").replace("`", "")
    return ShownSetting(variable(name), value, _source(settings, name), name in SECRETS, description)


def _source(settings: Settings, name: str) -> str:
    """Say where the value of a setting comes from."""
    if name not in settings.given:
        return DEFAULT
    return FROM_FILE if name in settings.from_files else ENVIRONMENT


def shown(settings: Settings) -> dict[str, str]:
    """Return every variable with its value as text; keys, tokens and what stands in URLs beside the host are masked."""
    return {variable(name): shown_value(name, getattr(settings, name)) for name in type(settings).model_fields}


def shown_value(name: str, value: object) -> str:
    """Return one value as text. Durations are seconds, lists stand with commas, booleans are on or off."""
    if isinstance(value, tuple) and name in SECRETS:
        return f"{len(value)} set" if value else ""
    if isinstance(value, SecretStr):
        return "set" if value.get_secret_value() else ""
    if name in SECRETS:
        return masked_url(str(value))
    text = as_text(value)
    return masked_user(text) if "://" in text else text


def as_text(value: object) -> str:
    """Return a value the way the environment would hold it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if hasattr(value, "total_seconds"):
        return f"{value.total_seconds():.15g}"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def masked_url(url: str) -> str:
    """Return scheme and host of a URL, and the path of a SQLite file; *** stands for everything else."""
    parts = urlsplit(url)
    if not url or parts.scheme == "sqlite":
        return url
    _user, at, host = parts.netloc.rpartition("@")
    if not at and "@" in url:  # a password with a character that should have been percent-encoded
        return f"{parts.scheme}://***"
    beyond = parts.path.strip("/") or parts.query or parts.fragment
    return f"{parts.scheme}://{'***@' if at else ''}{host}{'/***' if beyond else ''}"


def masked_user(text: str) -> str:
    """Return a text with URLs in it without their users and passwords."""
    return _USER.sub("://***@", text)
