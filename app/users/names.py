"""Display names: what the owner of an account wants to be called.

A name finds nobody, need not be unique and proves nothing. It is shown to its owner, to administrators and to apps, and
stands in no mail, since anyone who opens an account can choose any name.
"""

from __future__ import annotations

import re
import unicodedata

from app.user_input import visible

LONGEST = 64
"""Characters of a name, at most."""

_JOINERS = "\u200c\u200d\ufe0e\ufe0f"
"""Invisible characters that names need between others: Persian and Indic letters change with the first two."""

_LOOSE_JOINER = re.compile(f"(?<![^ {_JOINERS}])[{_JOINERS}]+|[{_JOINERS}]+(?= |$)")
_MOST_MARKS = 4
"""Marks on one letter: Vietnamese, Hebrew and Tibetan need up to three, and more of them cover the lines beside."""


class InvalidName(ValueError):
    """Nothing that could be shown as a name."""


class NameTooLong(InvalidName):
    """More than ``LONGEST`` characters."""


def read(text: str) -> str:
    """Return a name as it is kept: NFC, with single spaces and nothing invisible; "" where nothing is left.

    What turns the direction of text goes, as all that can't be seen.
    :raises InvalidName: for one without any letter or digit, with ``@``, ``<`` or ``>`` of any width (it could pass for
        an address or for markup), with control characters, or with more marks than letters can carry
    """
    seen = _LOOSE_JOINER.sub("", " ".join(visible(text, keep=_JOINERS).split()))
    name = unicodedata.normalize(
        "NFC", " ".join(seen.split())
    )  # at last: what was dropped kept letters and marks apart
    if len(name) > LONGEST:
        raise NameTooLong(f"has more than {LONGEST} characters")
    if name and not _is_showable(name):
        raise InvalidName("needs a letter, and can't have @, <, > or control characters")
    return name


def _is_showable(name: str) -> bool:
    categories = [unicodedata.category(character) for character in name if character not in _JOINERS]
    if any(kind.startswith("C") for kind in categories) or set(unicodedata.normalize("NFKC", name)) & set("@<>"):
        return False
    marks = "".join("m" if kind in ("Mn", "Me") else "." for kind in categories)
    return "m" * (_MOST_MARKS + 1) not in marks and any(character.isalnum() for character in name)
