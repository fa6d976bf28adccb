"""Initials avatars: one or two letters of a person's name, in a color derived from the account."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from app.web.destinations import letter_of

COLORS = 6
"""Number of avatar colors. app.css has a class for each."""


@dataclass(frozen=True, slots=True)
class Avatar:
    """The avatar that pages show for an account, in place of a picture.

    :ivar letters: "" if there is no letter to show; the page then shows a generic person icon
    :ivar color: number of the color, starting at 1
    """

    letters: str
    color: int


def avatar_of(name: str | None, label: str | None, handle: str | None) -> Avatar:
    """Return the avatar of an account.

    :param label: what to call an account without a name: the first letter of an email address is used, none of a
        phone number
    :param handle: determines the color, so that an account always has the same one
    """
    letters = initials_of(name) if name else _first_letter(label or "")
    return Avatar(letters, zlib.crc32((handle or "").encode()) % COLORS + 1)


def initials_of(name: str) -> str:
    """Return the initials of a name: the first letters of its first and last word.

    Scripts without case don't use initials, so for those return the first letter only.
    """
    words = [word for word in name.split() if any(character.isalnum() for character in word)]
    letters = [letter_of(word) for word in words[:1] + words[1:][-1:]]
    return "".join(letters) if all(map(_has_case, letters)) else "".join(letters[:1])


def _first_letter(label: str) -> str:
    return letter_of(label) if any(character.isalpha() for character in label) else ""


def _has_case(letter: str) -> bool:
    return letter.lower() != letter.upper()
