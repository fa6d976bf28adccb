"""Secrets of authenticator apps, as base32 or ``otpauth://`` URIs.

The URI follows Google Authenticator's "Key Uri Format". Its digits, period and algorithm are checked, since this
service only accepts six-digit codes with a period of 30 seconds and SHA-1 (RFC 6238). Codes of an app with other
parameters would never be right.
"""

from __future__ import annotations

import base64
import binascii
from urllib.parse import parse_qs, quote, urlsplit

from app import user_input

DIGITS, PERIOD, ALGORITHM = 6, 30, "SHA1"

MIN_SECRET_BYTES = 10
"""Minimum length in bytes. RFC 4226 (requirement 4) requires 16, but many services issued 10."""


class NotSupported(ValueError):
    """Not a TOTP secret, or one whose codes can't be verified here. The message gives the reason, never the secret."""


def address(secret: str, *, digits: int = DIGITS, period: int = PERIOD, algorithm: str = ALGORITHM) -> str:
    """Return the URI of a base32 secret and its code parameters."""
    return f"otpauth://totp/?secret={quote(secret)}&digits={digits}&period={period}&algorithm={quote(algorithm)}"


def base32(secret: bytes) -> str:
    """Encode a secret as base32 without padding."""
    return base64.b32encode(secret).decode().rstrip("=")


def read(text: str) -> str:
    """Parse base32 or a URI, and return the secret in the form that pyotp reads: upper case, without padding.

    Whitespace, dashes and lower case are accepted, as people copy them.
    :raises NotSupported: when it isn't a secret, or its codes have other parameters
    """
    if text.strip().lower().startswith("otpauth:"):
        text = _secret_in(text.strip())
    tidy = user_input.compact(text).upper().rstrip("=")
    try:
        secret = base64.b32decode(tidy + "=" * (-len(tidy) % 8))
    except (binascii.Error, ValueError):
        raise NotSupported("is not base32") from None
    if len(secret) < MIN_SECRET_BYTES:
        raise NotSupported(f"is shorter than {MIN_SECRET_BYTES} bytes")
    return tidy


def _secret_in(text: str) -> str:
    try:
        parts = urlsplit(text)
        given = {name.lower(): values[-1] for name, values in parse_qs(parts.query).items()}
        digits, period = int(given.get("digits", DIGITS)), int(given.get("period", PERIOD))
    except ValueError:
        raise NotSupported("is no otpauth address that can be read") from None
    if parts.netloc.lower() != "totp":
        raise NotSupported("is counter-based (HOTP), which works nowhere here")
    algorithm = given.get("algorithm", ALGORITHM).upper().replace("-", "").removeprefix("HMAC")
    if (digits, period, algorithm) != (DIGITS, PERIOD, ALGORITHM):
        what = f"{digits} digits, {period} seconds, {algorithm[:10]}"
        raise NotSupported(f"makes codes of {what}; only {DIGITS} digits, {PERIOD} seconds, {ALGORITHM} work here")
    if not given.get("secret"):
        raise NotSupported("is an otpauth address without a secret")
    return given["secret"]
