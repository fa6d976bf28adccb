"""Read settings from the environment: ``LATCHKEY_<NAME>``, or the file named by ``LATCHKEY_<NAME>_FILE``."""

import os
from collections.abc import Iterable

from config.files import read_text
from config.problems import PREFIX, ConfigurationError, Problem, variable

FILE = "_FILE"
MAX_FILE_BYTES = 65536
ALIASES = {"us_mfa_required": "second_factor_for"}
"""Alternative variable names: the setting's name in Flask-Security, whose API we follow."""

SECRETS = (
    "database_url",
    "secret_keys",
    "mail_url",
    "mail_fallback_url",
    "sms_url",
    "sms_headers",
    "sms_fallback_url",
    "sms_fallback_headers",
    "twilio_auth_token",
    "queue_url",
    "redis_url",
    "imported_password_salt",
    "bounces_postmark_secret",
    "bounces_mailgun_key",
)


def read(fields: Iterable[str]) -> dict[str, str]:
    """Return the texts of the settings that are set, by field. An empty variable counts as unset.

    :raises ConfigurationError: listing every unusable file and every setting that is given twice
    """
    fields = list(fields)
    texts = {name.lower(): text for name, text in os.environ.items()} | read_files(fields) | read_aliases()
    return {field: text for field in fields if (text := texts.get(variable(field).lower()))}


def read_aliases() -> dict[str, str]:
    """Return the texts of alternative variables, by the lower-case name of the variable each stands for.

    :raises ConfigurationError: when both are set
    """
    texts, problems = {}, []
    for other, name in ((variable(other), variable(field)) for other, field in ALIASES.items()):
        if text := os.environ.get(other):
            if os.environ.get(name) or os.environ.get(name + FILE):
                problems.append(Problem(other, f"is set, and so is {name}, which means the same", "Keep one of them."))
            texts[name.lower()] = text
    if problems:
        raise ConfigurationError(problems)
    return texts


def read_files(fields: Iterable[str]) -> dict[str, str]:
    """Return the texts of all ``_FILE`` variables, by the lower-case name of the variable each stands for.

    :raises ConfigurationError: as ``read``
    """
    texts, problems = {}, []
    for name in map(variable, fields):
        if not (path := os.environ.get(name + FILE)):
            continue
        if os.environ.get(name):
            problems.append(Problem(name, f"is set, and so is {name}{FILE}", "Keep one of them."))
        try:
            texts[name.lower()] = read_file(path)
        except ValueError as error:
            problems.append(Problem(name + FILE, f"points to a file that {error}", "Put only the value into it."))
    if problems:
        raise ConfigurationError(problems)
    return texts


def names_from_files(fields: Iterable[str]) -> list[str]:
    """Return the fields whose values come from a ``_FILE`` variable."""
    return [field for field in fields if os.environ.get(variable(field) + FILE)]


def read_file(path: str) -> str:
    """Return a file's text without surrounding whitespace.

    :raises ValueError: when it is unreadable, empty, over 64 KiB or not UTF-8; states the reason, never the content
    """
    text = read_text(path, MAX_FILE_BYTES).strip()
    if not text:
        raise ValueError("is empty")
    return text


def unknown_variables(fields: Iterable[str]) -> list[str]:
    """Return the ``LATCHKEY_`` variables that aren't settings, sorted. Most of them are misspelled."""
    known = {name + ending for name in map(variable, fields) for ending in ("", FILE)}
    known |= set(map(variable, ALIASES))
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
