"""Random tokens and digests."""

import hashlib
import hmac
import secrets

# Read aloud or copied by hand, 0/O, 1/I/L and U/V are taken for one another: one of each group stays.
UNAMBIGUOUS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"

# Crockford's base32: what is typed as O, I or L is read as the digit that it looks like.
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def token() -> str:
    """Return a new secret of 256 random bits: 43 characters, safe in a URL, a cookie and a header.

    Twice what ASVS 7.2.3 asks of a session token (128 bits).
    """
    return secrets.token_urlsafe(32)


def digest(text: str) -> str:
    """Return the SHA-256 of a ``token`` as 64 hexadecimal digits, to store instead of it.

    A plain hash is enough because a token has 256 bits to guess (ASVS 11.4.1, 6.5.2).
    Never use it on what a person chose or on a short code. Accepts any text,
    also a lone surrogate from a broken client, so that looking one up finds nothing and fails nothing.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def row_id() -> str:
    """Return a new row's id: 128 random bits as 32 hexadecimal digits.

    Unguessable, so that an id may stand in a URL (ASVS 8.2.2), and needs no round trip to the database.
    """
    return secrets.token_hex(16)


def reference(length: int = 8) -> str:
    """Return a short random mark for people to compare or quote: capitals and digits without look-alikes.

    Each character has 4.9 bits: 8 are enough for a support id, 4 for the mark on a mail. Not a secret.
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


def same(one: str, other: str) -> bool:
    """Tell whether two texts are equal, in a time that does not depend on where they differ (ASVS 11.2.4)."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))
