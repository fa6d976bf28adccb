"""Names that people give to their passkeys and authenticator apps: one shape for both."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection

from app.errors import Rejected

LONGEST = 64
"""Characters of a name, at most."""


def checked(name: str, field: str, *, required: str, disallowed: str) -> str:
    """Return ``name`` tidied up: NFKC, with single blanks.

    :param required: code of the refusal when nothing is left
    :param disallowed: code of the refusal of characters that can't be seen
    :raises Rejected: on ``field``: these, ``invalid_input_length`` or ``invalid_input`` (markup)
    """
    tidy = " ".join(unicodedata.normalize("NFKC", name).split())
    if not tidy:
        raise Rejected(required, field=field)
    if len(tidy) > LONGEST:
        raise Rejected("invalid_input_length", field=field, length=LONGEST)
    if set(tidy) & set("<>"):
        raise Rejected("invalid_input", field=field)
    if any(unicodedata.category(character).startswith("C") for character in tidy):
        raise Rejected(disallowed, field=field)
    return tidy


def numbered(plain: str, taken: Collection[str]) -> str:
    """Return ``plain``, with a number where it is taken."""
    number = 1
    while (name := plain if number == 1 else f"{plain} {number}") in taken:
        number += 1
    return name
