"""Short texts that people type or paste, read in one way whatever the keyboard or app.

Phones, chat apps and input methods add invisible characters, and write digits in other scripts. They are folded
and dropped first and the outcome is checked, never the other way round: what is compared, counted and remembered as
used is always the plain form.
"""

import re
import unicodedata

MAX_LENGTH = 200
"""Characters that anything short can have with all that is dropped from it; longer texts are not read."""

_IGNORABLE = (
    "\u00ad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Default_Ignorable_Code_Point: characters that have no look of their own (Unicode 15, DerivedCoreProperties.txt)."""

_INVISIBLE = re.compile(f"[{_IGNORABLE}]")
_DASHES = "\u02d7\u2212\u30fc\uff70"
"""Signs that stand for a dash, beside those that Unicode calls one (category Pd)."""

_PLAIN_GAPS = re.compile(r"[\s-]")


def visible(text: str, *, keep: str = "") -> str:
    """Return ``text`` without invisible characters: soft hyphens, zero-width and bidi marks, selectors.

    :param keep: those that stay all the same
    """
    return text if text.isascii() else _INVISIBLE.sub(lambda found: found[0] if found[0] in keep else "", text)


SELECTORS = "\ufe0e\ufe0f"
"""Invisible characters that make the sign before them a letter or a picture."""


def shows_all(text: str, *, keep: str = SELECTORS) -> bool:
    """Whether there is something to see in ``text``, and nothing in it that is not.

    :param keep: invisible characters that may stand beside what is seen
    """
    return bool(visible(text).strip()) and visible(text, keep=keep) == text


def compact(text: str) -> str:
    """Return what was typed as a code: no white space, no dashes, nothing invisible, and decimal digits as 0 to 9.

    Compatibility forms are folded (Unicode NFKC), so that full-width letters are plain ones. Case is kept. A text of
    more than ``LONGEST`` characters is no code, and read as "".
    """
    if len(text) > MAX_LENGTH:
        return ""
    if text.isascii():
        return _PLAIN_GAPS.sub("", text)
    return "".join(map(_folded, unicodedata.normalize("NFKC", visible(text))))


def digits(text: str, length: int) -> str | None:
    """Return what was typed as ``length`` ASCII digits; None when it cannot be that."""
    typed = compact(text)
    return typed if len(typed) == length and typed.isascii() and typed.isdigit() else None


def _folded(character: str) -> str:
    """Return a character as it counts in a code; "" for one that does not."""
    if character.isspace() or character in _DASHES or unicodedata.category(character) in ("Pd", "Cf"):
        return ""
    digit = unicodedata.decimal(character, None)
    return character if digit is None else str(digit)
