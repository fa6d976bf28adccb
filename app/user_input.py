"""Short texts that people type or paste: normalized, whatever their keyboard or app, and harmless in spreadsheets.

Phones, chat apps and input methods add invisible characters, and write digits in other scripts. Input is always
normalized before it is validated, never afterwards, so what is compared, counted and remembered as used is always the
normalized form.
"""

from __future__ import annotations

import re
import unicodedata

MAX_LENGTH = 200
"""Maximum length of short input before normalization. Longer texts are not processed."""

_IGNORABLE = (
    "\u00ad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Default_Ignorable_Code_Point: characters without a glyph (Unicode 15, DerivedCoreProperties.txt)."""

_INVISIBLE = re.compile(f"[{_IGNORABLE}]")
_DASHES = "\u02d7\u2212\u30fc\uff70"
"""Characters used as dashes, in addition to Unicode's dash category (Pd)."""

_PLAIN_GAPS = re.compile(r"[\s-]")


def visible(text: str, *, keep: str = "") -> str:
    """Return ``text`` without invisible characters: soft hyphens, zero-width and bidi marks, selectors.

    :param keep: invisible characters to keep
    """
    return text if text.isascii() else _INVISIBLE.sub(lambda found: found[0] if found[0] in keep else "", text)


SELECTORS = "\ufe0e\ufe0f"
"""Invisible characters that select the text or emoji presentation of the character before them."""


def shows_all(text: str, *, keep: str = SELECTORS) -> bool:
    """Return whether ``text`` has visible characters, and no invisible ones.

    :param keep: invisible characters that are allowed
    """
    return bool(visible(text).strip()) and visible(text, keep=keep) == text


def compact(text: str) -> str:
    """Normalize a typed code: remove whitespace, dashes and invisible characters, and convert decimal digits to 0-9.

    Compatibility forms are folded (Unicode NFKC), so that full-width letters become plain ones. Case is preserved. A
    text of more than ``MAX_LENGTH`` characters can't be a code, and gives "".
    """
    if len(text) > MAX_LENGTH:
        return ""
    if text.isascii():
        return _PLAIN_GAPS.sub("", text)
    return "".join(map(_folded, unicodedata.normalize("NFKC", visible(text))))


def digits(text: str, length: int) -> str | None:
    """Return typed input as ``length`` ASCII digits; None if it isn't exactly that."""
    typed = compact(text)
    return typed if len(typed) == length and typed.isascii() and typed.isdigit() else None


def _folded(character: str) -> str:
    """Return a character as normalized in a code; "" if it is dropped."""
    if character.isspace() or character in _DASHES or unicodedata.category(character) in ("Pd", "Cf"):
        return ""
    digit = unicodedata.decimal(character, None)
    return character if digit is None else str(digit)


_FORMULA = re.compile(r"(?:^|(?<=[;\t\r\n|]))(?=[\t\r\n]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")
"""Positions where a formula may start, with plain or full-width signs, even after whitespace (OWASP, CSV Injection).

This includes positions after a semicolon: with a decimal comma, Excel splits CSV files at semicolons, quoted or not.
Anyone who enters a user's email address can choose a browser name that ends up in such a file.
"""


def harmless_in_spreadsheets(text: str) -> str:
    """Return ``text`` with an apostrophe in front of anything that a spreadsheet would take for a formula."""
    return _FORMULA.sub("'", text)
