"""Display names that people choose for their account.

A name isn't used to look up accounts, doesn't have to be unique, and proves nothing. It is shown to the owner, to
administrators and to apps, but never in emails, because anyone can create an account with any name.
"""

from __future__ import annotations

import re
import unicodedata

from app.user_input import visible

MAX_LENGTH = 64
"""Maximum length of a name in characters."""

_JOINERS = "\u200c\u200d\ufe0e\ufe0f"
"""Invisible characters allowed inside names: the first two change the shape of Persian and Indic letters."""

_LOOSE_JOINER = re.compile(f"(?<![^ {_JOINERS}])[{_JOINERS}]+|[{_JOINERS}]+(?= |$)")
_MAX_MARKS = 4
"""Maximum combining marks per letter. Vietnamese, Hebrew and Tibetan need up to three; more overlap other lines."""


class InvalidName(ValueError):
    """The text can't be shown as a name."""


class NameTooLong(InvalidName):
    """The name has more than ``MAX_LENGTH`` characters."""


def read(text: str) -> str:
    """Return the name in normalized form: NFC, with single spaces and no invisible characters; "" if nothing is left.

    Text direction controls are removed, too.
    :raises InvalidName: for a name without a letter or digit, with ``@``, ``<`` or ``>`` of any width (it could pass
        for an address or markup), with control characters, or with too many combining marks
    """
    seen = _LOOSE_JOINER.sub("", " ".join(visible(text, keep=_JOINERS).split()))
    name = unicodedata.normalize(
        "NFC", " ".join(seen.split())
    )  # last, since removed characters may have separated letters from their marks
    if len(name) > MAX_LENGTH:
        raise NameTooLong(f"has more than {MAX_LENGTH} characters")
    if name and not _is_showable(name):
        raise InvalidName("needs a letter, and can't have @, <, > or control characters")
    return name


def _is_showable(name: str) -> bool:
    categories = [unicodedata.category(character) for character in name if character not in _JOINERS]
    if any(kind.startswith("C") for kind in categories) or set(unicodedata.normalize("NFKC", name)) & set("@<>"):
        return False
    marks = "".join("m" if kind in ("Mn", "Me") else "." for kind in categories)
    return "m" * (_MAX_MARKS + 1) not in marks and any(character.isalnum() for character in name)
