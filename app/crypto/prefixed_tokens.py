"""Prefixed tokens: secret scanners recognize them, and a checksum catches typing errors.

    lkp_ 43 letters and digits: 256 random bits   6 more: CRC-32 of all before them

The check finds what was cut, mistyped or made up for fun. It is no MAC: who knows how can make one that passes.
"""

from __future__ import annotations

import re
import secrets
import zlib

PERSONAL = "lkp_"
"""Begins a personal token."""

REFRESH = "lkr_"
"""Begins a refresh token; 22 letters of its own grant follow, the same in each that takes the place of the last."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECK = 6
_LETTER = re.compile(r"[0-9A-Za-z]+\Z")
_BYTES = 32


def letters(size: int = _BYTES) -> str:
    """Return ``size`` random bytes as letters and digits, always as many: 43 for 32 bytes, 22 for 16."""
    return _spelled(int.from_bytes(secrets.token_bytes(size), "big"), _length(size))


def prefixed_token(mark: str) -> str:
    """Return a new secret that begins with ``mark``: letters and digits, for a header, a file and a double click.

    It has 256 random bits, twice what ASVS 7.2.3 asks of a session token.
    """
    body = mark + letters()
    return body + _check(body)


def has_prefix(text: str, mark: str, more: int = 0) -> bool:
    """Whether ``text`` is whole and was made with ``mark``, as far as that can be seen. Takes any text.

    :param more: letters of the mark that differ from token to token
    """
    body, check = text[:-_CHECK], text[-_CHECK:]
    if len(text) != len(mark) + more + _length(_BYTES) + _CHECK or not text.startswith(mark):
        return False
    return _LETTER.match(text, len(mark)) is not None and _check(body) == check


def _check(body: str) -> str:
    return _spelled(zlib.crc32(body.encode("ascii")), _CHECK)


def _spelled(number: int, length: int) -> str:
    text = ""
    for _ in range(length):
        number, place = divmod(number, len(_DIGITS))
        text = _DIGITS[place] + text
    return text


def _length(size: int) -> int:
    """Return how many characters hold so many bytes."""
    length, most = 0, 256**size - 1
    while most:
        most, length = most // len(_DIGITS), length + 1
    return length
