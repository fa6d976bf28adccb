"""What stands for a person where others have a picture: one or two letters of their name, in a color of the account."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from app.web.destinations import letter_of

COLORS = 6
"""Colors of avatars; app.css has a class for each."""


@dataclass(frozen=True, slots=True)
class Avatar:
    """How a page shows an account without a picture.

    :ivar letters: "" for an account that has nothing with a letter in it; the page draws a person instead
    :ivar color: from 1
    """

    letters: str
    color: int


def avatar_of(name: str | None, label: str | None, handle: str | None) -> Avatar:
    """Return the avatar of an account.

    :param label: what the account is called where it has no name: an address gives its letter, a phone number none
    :param handle: by which the account always has the same color
    """
    letters = initials_of(name) if name else _first_letter(label or "")
    return Avatar(letters, zlib.crc32((handle or "").encode()) % COLORS + 1)


def initials_of(name: str) -> str:
    """Return the first letters of the first and the last word of a name.

    Scripts without capitals write no initials: there it is the first letter alone.
    """
    words = [word for word in name.split() if any(character.isalnum() for character in word)]
    letters = [letter_of(word) for word in words[:1] + words[1:][-1:]]
    return "".join(letters) if all(map(_has_case, letters)) else "".join(letters[:1])


def _first_letter(label: str) -> str:
    return letter_of(label) if any(character.isalpha() for character in label) else ""


def _has_case(letter: str) -> bool:
    return letter.lower() != letter.upper()
