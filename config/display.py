"""Settings as operators may see them, without secrets."""

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
    """A setting as operators may see it.

    :ivar variable: name of its environment variable
    :ivar value: in the format of the environment variable, "" for none; masked if it contains a secret
    :ivar source: ``default``, ``environment``, or ``file`` when it comes from a ``<variable>_FILE``
    :ivar secret: whether it can contain a secret
    """

    variable: str
    value: str
    source: str
    secret: bool
    description: str


def by_subject(settings: Settings, *, changed_only: bool) -> dict[str, list[ShownSetting]]:
    """Return the settings by subject, as in docs/settings.md, without empty subjects.

    :param changed_only: only settings that the environment or a file has changed from their default
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
    """Return where the value of a setting comes from."""
    if name not in settings.explicit:
        return DEFAULT
    return FROM_FILE if name in settings.from_files else ENVIRONMENT


def shown(settings: Settings) -> dict[str, str]:
    """Return every variable with its value as text. Keys, tokens and everything in URLs besides the host are masked."""
    return {variable(name): shown_value(name, getattr(settings, name)) for name in type(settings).model_fields}


def shown_value(name: str, value: object) -> str:
    """Return a value as text. Durations are in seconds, lists are comma-separated, booleans are on or off."""
    if isinstance(value, tuple) and name in SECRETS:
        return f"{len(value)} set" if value else ""
    if isinstance(value, SecretStr):
        return "set" if value.get_secret_value() else ""
    if name in SECRETS:
        return masked_url(str(value))
    text = as_text(value)
    return masked_user(text) if "://" in text else text


def as_text(value: object) -> str:
    """Return a value in the format of its environment variable."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if hasattr(value, "total_seconds"):
        return f"{value.total_seconds():.15g}"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def masked_url(url: str) -> str:
    """Return scheme and host of a URL, or the path of an SQLite file, with everything else replaced by ***."""
    parts = urlsplit(url)
    if not url or parts.scheme == "sqlite":
        return url
    _user, at, host = parts.netloc.rpartition("@")
    if not at and "@" in url:  # a password with a character that should have been percent-encoded
        return f"{parts.scheme}://***"
    beyond = parts.path.strip("/") or parts.query or parts.fragment
    return f"{parts.scheme}://{'***@' if at else ''}{host}{'/***' if beyond else ''}"


def masked_user(text: str) -> str:
    """Mask users and passwords in the URLs within a text."""
    return _USER.sub("://***@", text)
