"""Random tokens and their digests, tokens with a prefix, and argon2id for what people type (ASVS 11.4.2).

API and refresh tokens have a prefix, by which secret scanners recognize them, and a checksum against typing errors:

    lkp_ 43 letters and digits: 256 random bits   6 more: CRC-32 of all before them

The checksum is no MAC: anyone who knows how can make one that passes.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

# Without characters that are confused when read aloud or copied by hand: one of 0/O, 1/I/L and U/V.
UNAMBIGUOUS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"

# Crockford's base32: what is typed as O, I or L is read as the digit that it looks like.
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

# For codes that are read off one screen and typed at another: consonants alone spell no words, and none is taken for a
# digit (RFC 8628, section 6.1).
CONSONANTS = "BCDFGHJKLMNPQRSTVWXZ"

_ROW_ID = re.compile(r"[0-9a-f]{32}")

API_PREFIX = "lkp_"
"""Prefix of an API token."""

REFRESH_PREFIX = "lkr_"
"""Prefix of a refresh token; 22 characters of its grant follow, the same in every token that replaces it."""

ACCESS_PREFIX = "lka_"
"""Prefix of an app's access token (OAuth)."""

GRANT_PREFIX = "lkg_"
"""Prefix of an app's refresh token; 32 characters follow that name its grant."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECK = 6
_LETTER = re.compile(r"[0-9A-Za-z]+\Z")
_BYTES = 32


def token() -> str:
    """Return a new secret of 256 random bits: 43 characters, safe in a URL, a cookie and a header.

    Twice what ASVS 7.2.3 asks of a session token (128 bits).
    """
    return secrets.token_urlsafe(32)


def digest(text: str) -> str:
    """Return the SHA-256 of a ``token`` as 64 hexadecimal digits, to store instead of it.

    A plain hash is enough because a token has 256 random bits (ASVS 11.4.1, 6.5.2); use ``slow_hash`` for what a person
    chose. Accepts any text, also a lone surrogate from a broken client, so a lookup finds nothing and doesn't fail.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def row_id() -> str:
    """Return a new row's id: 128 random bits as 32 hexadecimal digits.

    Unguessable, so it can be in a URL (ASVS 8.2.2), and known before the row is inserted.
    """
    return secrets.token_hex(16)


def is_row_id(text: str) -> bool:
    """Return whether a text could be such an id."""
    return _ROW_ID.fullmatch(text) is not None


def reference(length: int = 8) -> str:
    """Return a short random tag for people to compare or quote: capitals and digits without look-alikes.

    Each character has 4.9 bits: 8 are enough for a support id, 4 for the tag of an email. Not a secret.
    :param length: in characters
    """
    return spelled(secrets.token_bytes(length + 8), length)


def spelled(data: bytes, length: int) -> str:
    """Return ``data`` as ``length`` characters without look-alikes; the same data gives the same ones.

    With evenly spread data of ``length`` + 8 bytes no character is favoured by more than 2^-64.
    """
    number = int.from_bytes(data, "big")
    mark = ""
    for _ in range(length):
        number, place = divmod(number, len(UNAMBIGUOUS))
        mark += UNAMBIGUOUS[place]
    return mark


def crockford(length: int) -> str:
    """Return so many random characters of Crockford's base32, 5 bits each, for a person to keep on paper."""
    return "".join(CROCKFORD[byte % len(CROCKFORD)] for byte in secrets.token_bytes(length))


def consonants(length: int) -> str:
    """Return so many random consonants, 4.3 bits each, for a person to type."""
    return "".join(secrets.choice(CONSONANTS) for _ in range(length))


def same(one: str, other: str) -> bool:
    """Whether two texts are equal, in constant time (ASVS 11.2.4)."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def letters(size: int = _BYTES) -> str:
    """Return ``size`` random bytes as letters and digits, always as many: 43 for 32 bytes, 22 for 16."""
    return _base62(int.from_bytes(secrets.token_bytes(size), "big"), _length(size))


def prefixed_token(prefix: str) -> str:
    """Return a new secret that begins with ``prefix``: letters and digits, for a header, a file and a double click.

    It has 256 random bits, twice what ASVS 7.2.3 asks of a session token.
    """
    body = prefix + letters()
    return body + _check(body)


def derived_token(prefix: str, data: bytes) -> str:
    """Return the token with this prefix that 32 bytes of ``data`` give, the same each time."""
    body = prefix + _base62(int.from_bytes(data, "big"), _length(_BYTES))
    return body + _check(body)


def has_prefix(text: str, prefix: str, more: int = 0) -> bool:
    """Whether ``text`` has the prefix, length and checksum of a token. Takes any text.

    :param more: characters after ``prefix`` that belong to it and differ from token to token
    """
    body, check = text[:-_CHECK], text[-_CHECK:]
    if len(text) != len(prefix) + more + _length(_BYTES) + _CHECK or not text.startswith(prefix):
        return False
    return _LETTER.match(text, len(prefix)) is not None and _check(body) == check


def _check(body: str) -> str:
    return _base62(zlib.crc32(body.encode("ascii")), _CHECK)


def _base62(number: int, length: int) -> str:
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


@lru_cache(maxsize=1)
def _hasher() -> PasswordHasher:
    """argon2id with 19 MiB, two passes, one lane (OWASP's first recommendation)."""
    return PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)


@lru_cache(maxsize=1)
def nobodys_hash() -> str:
    """Return a hash to compare with when there is none, so that it takes as long."""
    return slow_hash("a password that nobody has")


def slow_hash(text: str) -> str:
    """Return the argon2id hash of ``text``, in the PHC string form."""
    return _hasher().hash(text)


def is_hash_of(kept: str, text: str | bytes) -> bool:
    """Whether ``kept`` is a hash of ``text``; False for anything that isn't a hash."""
    try:
        _hasher().verify(kept, text)
    except (Argon2Error, InvalidHashError):
        return False
    return True
