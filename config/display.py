"""Settings as an operator may see them: everything but the secrets."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import SecretStr

from config.environment import SECRETS
from config.problems import variable

if TYPE_CHECKING:
    from config.settings import Settings


def shown(settings: "Settings") -> dict[str, str]:
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
    return as_text(value)


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
    beyond = parts.path.strip("/") or parts.query or parts.fragment
    return f"{parts.scheme}://{'***@' if at else ''}{host}{'/***' if beyond else ''}"
