"""Random tokens and their digests, prefixed tokens, and argon2id for secrets chosen by people (ASVS 11.4.2).

API and refresh tokens have a prefix, by which secret scanners recognize them, and a checksum against typos:

    lkp_ 43 letters and digits: 256 random bits   6 more: CRC-32 of everything before

The checksum is not a MAC: anyone can compute it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import zlib
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

# Without 0, O, 1, I, L and U, which are easily confused when read aloud or copied by hand.
UNAMBIGUOUS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"

# Crockford's base32: O, I and L are read as the digits they look like.
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

# For codes read from one screen and typed on another device: without vowels they spell no words, and no letter looks
# like a digit (RFC 8628, section 6.1).
CONSONANTS = "BCDFGHJKLMNPQRSTVWXZ"

_ROW_ID = re.compile(r"[0-9a-f]{32}")

API_PREFIX = "lkp_"
"""Prefix of an API token."""

REFRESH_PREFIX = "lkr_"
"""Prefix of a refresh token. It is followed by 22 characters for its grant, the same in every successor token."""

ACCESS_PREFIX = "lka_"
"""Prefix of an app's access token (OAuth)."""

GRANT_PREFIX = "lkg_"
"""Prefix of an app's refresh token. It is followed by 32 characters that identify its grant."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECKSUM_LENGTH = 6
_ALPHANUMERIC = re.compile(r"[0-9A-Za-z]+\Z")
_BYTES = 32


def token() -> str:
    """Return a new secret of 256 random bits: 43 characters, safe in URLs, cookies and headers.

    That is twice what ASVS 7.2.3 requires of a session token (128 bits).
    """
    return secrets.token_urlsafe(32)


def digest(text: str) -> str:
    """Return the SHA-256 of a ``token`` as 64 hexadecimal digits, to be stored instead of the token.

    A plain hash is enough because a token has 256 random bits (ASVS 11.4.1, 6.5.2). Use ``slow_hash`` for secrets
    chosen by people. Accepts any text, even lone surrogates from a broken client, so that a lookup finds nothing
    instead of failing.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def base64url(data: bytes) -> str:
    """Return ``data`` as base64url without padding (RFC 4648, section 5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def row_id() -> str:
    """Return a new row's id: 128 random bits as 32 hexadecimal digits.

    It is unguessable, so it can be used in a URL (ASVS 8.2.2), and it is known before the row is inserted.
    """
    return secrets.token_hex(16)


def is_row_id(text: str) -> bool:
    """Return whether a text has the format of a row id."""
    return _ROW_ID.fullmatch(text) is not None


def reference(length: int = 8) -> str:
    """Return a short random tag for people to compare or quote: capital letters and digits without look-alikes.

    Each character has 4.9 bits: 8 are enough for a support id, 4 for the tag of an email. Not a secret.

    :param length: in characters
    """
    return spelled(secrets.token_bytes(length + 8), length)


def spelled(data: bytes, length: int) -> str:
    """Encode ``data`` as ``length`` characters without look-alikes; the same data always gives the same text.

    With uniformly random data of ``length`` + 8 bytes, the bias of any character is at most 2^-64.
    """
    number = int.from_bytes(data, "big")
    text = ""
    for _ in range(length):
        number, index = divmod(number, len(UNAMBIGUOUS))
        text += UNAMBIGUOUS[index]
    return text


def crockford(length: int) -> str:
    """Return ``length`` random characters of Crockford's base32, 5 bits each, for people to keep on paper."""
    return "".join(CROCKFORD[byte % len(CROCKFORD)] for byte in secrets.token_bytes(length))


def consonants(length: int) -> str:
    """Return ``length`` random consonants, 4.3 bits each, for people to type."""
    return "".join(secrets.choice(CONSONANTS) for _ in range(length))


def same(one: str, other: str) -> bool:
    """Return whether two texts are equal, compared in constant time (ASVS 11.2.4)."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def letters(size: int = _BYTES) -> str:
    """Return ``size`` random bytes as letters and digits of fixed length: 43 for 32 bytes, 22 for 16."""
    return _base62(int.from_bytes(secrets.token_bytes(size), "big"), _base62_length(size))


def prefixed_token(prefix: str) -> str:
    """Return a new secret that starts with ``prefix``.

    It has only letters and digits, so it fits into headers and files, and a double click selects all of it. Its 256
    random bits are twice what ASVS 7.2.3 requires of a session token.
    """
    body = prefix + letters()
    return body + _checksum(body)


def derived_token(prefix: str, data: bytes) -> str:
    """Return the token with this prefix that encodes 32 bytes of ``data``; the same data gives the same token."""
    body = prefix + _base62(int.from_bytes(data, "big"), _base62_length(_BYTES))
    return body + _checksum(body)


def has_prefix(text: str, prefix: str, more: int = 0) -> bool:
    """Return whether ``text`` has the prefix, length and checksum of a token. Accepts any text.

    :param more: number of variable characters between ``prefix`` and the random part
    """
    body, check = text[:-_CHECKSUM_LENGTH], text[-_CHECKSUM_LENGTH:]
    if len(text) != len(prefix) + more + _base62_length(_BYTES) + _CHECKSUM_LENGTH or not text.startswith(prefix):
        return False
    return _ALPHANUMERIC.match(text, len(prefix)) is not None and _checksum(body) == check


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode("ascii")), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, index = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[index])
    return "".join(reversed(digits))


@lru_cache
def _base62_length(size: int) -> int:
    """Return the number of base-62 characters needed for ``size`` bytes."""
    length, most = 0, 256**size - 1
    while most:
        most, length = most // len(_DIGITS), length + 1
    return length


@lru_cache(maxsize=1)
def _hasher() -> PasswordHasher:
    """Return argon2id with 19 MiB, two passes and one lane (a configuration recommended by OWASP)."""
    return PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)


@lru_cache(maxsize=1)
def dummy_hash() -> str:
    """Return a dummy hash to compare with if there is no real one, so that it takes the same time."""
    return slow_hash("a password that nobody has")


def slow_hash(text: str) -> str:
    """Return the argon2id hash of ``text`` as a PHC string."""
    return _hasher().hash(text)


def is_hash_of(stored_hash: str, text: str | bytes) -> bool:
    """Return whether ``stored_hash`` is a hash of ``text``; False if it isn't a hash at all."""
    try:
        _hasher().verify(stored_hash, text)
    except (Argon2Error, InvalidHashError):
        return False
    return True
