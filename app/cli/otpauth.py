"""Secrets of authenticator apps, as base32 and as ``otpauth://`` addresses.

The address is that of Google Authenticator's "Key Uri Format". What it says of digits, period and algorithm is read,
because here a code is six digits, of 30 seconds, by SHA-1 (RFC 6238): another app's codes would never be right.
"""

from __future__ import annotations

import base64
import binascii
from urllib.parse import parse_qs, quote, urlsplit

from app import user_input

DIGITS, PERIOD, ALGORITHM = 6, 30, "SHA1"

SHORTEST_SECRET = 10
"""Bytes of a secret. RFC 4226 (requirement 4) wants 16, but 10 is what many services gave out."""


class NotCarried(ValueError):
    """No app's secret, or one whose codes can't be checked here. Its message says why, and never repeats it."""


def address(secret: str, *, digits: int = DIGITS, period: int = PERIOD, algorithm: str = ALGORITHM) -> str:
    """Return the address of a secret in base32 and what its codes are made by."""
    return f"otpauth://totp/?secret={quote(secret)}&digits={digits}&period={period}&algorithm={quote(algorithm)}"


def base32(secret: bytes) -> str:
    """Return a secret of bytes as base32 without padding."""
    return base64.b32encode(secret).decode().rstrip("=")


def read(text: str) -> str:
    """Return the secret of ``text``, base32 or an address, as pyotp reads it: upper case, without padding.

    Blanks, dashes and lower case are as people copy it.
    :raises NotCarried: when it is none, or its codes are made otherwise
    """
    if text.strip().lower().startswith("otpauth:"):
        text = _secret_in(text.strip())
    tidy = user_input.compact(text).upper().rstrip("=")
    try:
        secret = base64.b32decode(tidy + "=" * (-len(tidy) % 8))
    except (binascii.Error, ValueError):
        raise NotCarried("is not base32") from None
    if len(secret) < SHORTEST_SECRET:
        raise NotCarried(f"is shorter than {SHORTEST_SECRET} bytes")
    return tidy


def _secret_in(text: str) -> str:
    try:
        parts = urlsplit(text)
        given = {name.lower(): values[-1] for name, values in parse_qs(parts.query).items()}
        digits, period = int(given.get("digits", DIGITS)), int(given.get("period", PERIOD))
    except ValueError:
        raise NotCarried("is no otpauth address that can be read") from None
    if parts.netloc.lower() != "totp":
        raise NotCarried("is counter-based (HOTP), which works nowhere here")
    algorithm = given.get("algorithm", ALGORITHM).upper().replace("-", "").removeprefix("HMAC")
    if (digits, period, algorithm) != (DIGITS, PERIOD, ALGORITHM):
        what = f"{digits} digits, {period} seconds, {algorithm[:10]}"
        raise NotCarried(f"makes codes of {what}; only {DIGITS} digits, {PERIOD} seconds, {ALGORITHM} work here")
    if not given.get("secret"):
        raise NotCarried("is an otpauth address without a secret")
    return given["secret"]
