"""Password hashes imported from other services: parse them on import, and verify passwords until the first sign-in."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable

import bcrypt
import structlog
from argon2 import extract_parameters
from argon2.exceptions import InvalidHashError
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from app.crypto import secrets
from app.extensions import settings

log = structlog.get_logger()

Check = Callable[[bytes], bool]
"""Returns whether a password matches the hash."""

MARK, HMAC_MARK = "imported:", "imported-hmac:"
"""Prefixes of stored imported hashes. The second is for hashes of an HMAC of the password."""

MAX_MEMORY, MAX_WORK, MAX_LANES = 256 * 1024, 768 * 1024, 16
"""Limits on the cost of argon2 and scrypt hashes: memory in KiB, memory times passes, and lanes. Typical hashes take
64 MiB and three passes. An imported file must not determine how long a sign-in takes."""

MAX_ROUNDS = 2_000_000
"""Maximum PBKDF2 rounds, multiplied by the number of blocks of the hash."""

MAX_COST = 14
"""Maximum bcrypt cost: 2**14 rounds take about a second."""

MAX_LENGTH, MIN_DIGEST_LENGTH = 512, 16
"""Maximum length of an encoded hash in characters, and minimum length of its digest in bytes."""


class UnsupportedHash(ValueError):
    """An unsupported hash. The message gives the reason, but doesn't contain the hash."""


def read(text: str, *, of_hmac: bool = False) -> str:
    """Return the hash ``text`` in the form in which it is stored.

    :param of_hmac: it is a hash of an HMAC of the password, as in Flask-Security
    :raises UnsupportedHash: if its format is unknown, or verifying it would cost too much
    """
    if of_hmac and not settings.imported_password_salt.get_secret_value():
        raise UnsupportedHash("is of an HMAC, and LATCHKEY_IMPORTED_PASSWORD_SALT is not set")
    _check_of(text)
    return (HMAC_MARK if of_hmac else MARK) + text


def is_imported(kept: str) -> bool:
    """Return whether ``kept`` is an imported hash, and not one of ours."""
    return kept.startswith((MARK, HMAC_MARK))


def is_hash_of(kept: str, typed: str) -> bool:
    """Return whether ``typed``, as entered or normalized, matches the imported hash ``kept``.

    Most services hash the input as is; Flask-Security applies NFKD, some NFKC. For ASCII, these are all the same.
    """
    mark, _, text = kept.partition(":")
    check = _check_of(text)
    if mark + ":" == HMAC_MARK and not settings.imported_password_salt.get_secret_value():
        log.warning("password.no_salt", remedy="Set LATCHKEY_IMPORTED_PASSWORD_SALT: until then this matches nothing.")
    forms = dict.fromkeys([typed, unicodedata.normalize("NFKC", typed), unicodedata.normalize("NFKD", typed)])
    right = False
    for form in forms:
        password = form.encode("utf-8", "surrogatepass")
        right = check(_hmac(password) if mark + ":" == HMAC_MARK else password) or right
    return right


def _hmac(password: bytes) -> bytes:
    """Return what Flask-Security hashes: the base64 of an HMAC-SHA-512 keyed with its SECURITY_PASSWORD_SALT."""
    key = settings.imported_password_salt.get_secret_value().encode()
    return base64.b64encode(hmac.digest(key, password, "sha512"))


def _check_of(text: str) -> Check:
    if len(text) <= MAX_LENGTH:
        for pattern, read_parts in FORMS:
            if found := re.fullmatch(pattern, text, re.ASCII):
                return read_parts(*found.groups())
    raise UnsupportedHash("has no form that is known here")


def _argon2(text: str) -> Check:
    try:
        cost = extract_parameters(text)
    except InvalidHashError:
        raise UnsupportedHash("is not an encoded argon2 hash") from None
    if cost.memory_cost > MAX_MEMORY or cost.memory_cost * cost.time_cost > MAX_WORK or cost.parallelism > MAX_LANES:
        raise UnsupportedHash("costs more than 256 MiB, 768 MiB in all its passes, or 16 lanes")
    return lambda password: secrets.is_hash_of(text, password)


def _bcrypt(text: str, cost: str) -> Check:
    """Check a bcrypt hash. bcrypt uses only 72 bytes, and is ambiguous after a NUL byte, so passwords with NUL fail."""
    if not 4 <= int(cost) <= MAX_COST:
        raise UnsupportedHash(f"has a cost of bcrypt outside 4 to {MAX_COST}")
    return lambda password: b"\0" not in password and bcrypt.checkpw(password[:72], text.encode())


def _bcrypt_of_sha256(text: str, cost: str) -> Check:
    check = _bcrypt(text, cost)
    return lambda password: check(hashlib.sha256(password).hexdigest().encode())


def _pbkdf2(digest: str, rounds: str, salt: bytes, wanted: bytes) -> Check:
    blocks = -(-len(wanted) // hashlib.new(digest).digest_size)
    if int(rounds) * blocks > MAX_ROUNDS:
        raise UnsupportedHash(f"costs more than {MAX_ROUNDS:,} rounds of PBKDF2")
    return lambda password: hmac.compare_digest(
        hashlib.pbkdf2_hmac(digest, password, salt, int(rounds), len(wanted)), wanted
    )


def _scrypt(n: int, r: str, p: str, salt: bytes, wanted: bytes) -> Check:
    block, lanes = int(r), int(p)
    memory = 128 * block * (n + lanes + 2)
    if memory > MAX_MEMORY * 1024 or 128 * block * n * lanes > MAX_WORK * 1024 or lanes > MAX_LANES:
        raise UnsupportedHash("costs more than 256 MiB, 768 MiB in all its lanes, or 16 lanes")
    if n < 2 or n & (n - 1):
        raise UnsupportedHash("has a cost of scrypt that is no power of two")
    return lambda password: hmac.compare_digest(
        hashlib.scrypt(password, salt=salt, n=n, r=block, p=lanes, maxmem=2 * memory, dklen=len(wanted)), wanted
    )


def _bcrypt_of_hmac(version: str, cost: str, salt: str, digest: str) -> Check:
    """Check passlib's bcrypt_sha256: bcrypt of SHA-256, or in version 2 of an HMAC-SHA-256 keyed with the salt."""
    check = _bcrypt(f"$2b${int(cost):02}${salt}{digest}", cost)

    def made(password: bytes) -> bytes:
        keyed = hmac.digest(salt.encode(), password, "sha256") if version else hashlib.sha256(password).digest()
        return base64.b64encode(keyed)

    return lambda password: check(made(password))


def _firebase(cost: str, block: str, lanes: str, salt: bytes, separator: bytes, signer: bytes, wanted: bytes) -> Check:
    """Check Firebase's scrypt: the key from scrypt encrypts the project's signer key with AES-256-CTR, counter 0."""
    n, r, p = 2 ** int(cost), int(block), int(lanes)
    _scrypt(n, block, lanes, salt, wanted)  # check its cost

    def check(password: bytes) -> bool:
        key = hashlib.scrypt(password, salt=salt + separator, n=n, r=r, p=p, maxmem=512 * r * (n + p + 2), dklen=32)
        cipher = Cipher(AES(key), CTR(bytes(16))).encryptor()
        return hmac.compare_digest(cipher.update(signer) + cipher.finalize(), wanted)

    return check


def _base64(text: str, shortest: int = MIN_DIGEST_LENGTH) -> bytes:
    """Decode base64 with or without padding, accepting passlib's ``.`` for ``+``."""
    bare = text.replace(".", "+").rstrip("=")
    try:
        data = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except binascii.Error:
        raise UnsupportedHash("does not end in base64") from None
    return _long_enough(data, shortest)


def _hex(text: str) -> bytes:
    return _long_enough(bytes.fromhex(text) if len(text) % 2 == 0 else b"", MIN_DIGEST_LENGTH)


def _long_enough(data: bytes, shortest: int) -> bytes:
    if not shortest <= len(data) <= MAX_LENGTH:
        raise UnsupportedHash("is cut off")
    return data


_B64, _HEX, _SALT, _NUMBER = r"([A-Za-z0-9+/.]+={0,2})", r"([0-9a-f]+)", r"([^$]+)", r"([1-9][0-9]{0,8})"
_SHA = "(sha1|sha256|sha512)"
_BCRYPT = r"(\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31})"

FORMS: tuple[tuple[str, Callable[..., Check]], ...] = (
    (r"(?:argon2)?(\$argon2(?:id|i|d)\$(?:v=[0-9]+\$)?[a-z0-9=,]+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+)", _argon2),
    (rf"(?:bcrypt\$)?{_BCRYPT}", _bcrypt),
    (rf"bcrypt_sha256\${_BCRYPT}", _bcrypt_of_sha256),
    (
        rf"pbkdf2_{_SHA}\${_NUMBER}\${_SALT}\${_B64}",  # Django
        lambda digest, rounds, salt, b64: _pbkdf2(digest, rounds, salt.encode(), _base64(b64)),
    ),
    (
        rf"pbkdf2:{_SHA}:{_NUMBER}\${_SALT}\${_HEX}",  # Werkzeug
        lambda digest, rounds, salt, digits: _pbkdf2(digest, rounds, salt.encode(), _hex(digits)),
    ),
    (
        rf"\$pbkdf2(?:-{_SHA})?\${_NUMBER}\${_B64}\${_B64}",  # passlib, and Keycloak's parts joined
        lambda digest, rounds, salt, b64: _pbkdf2(digest or "sha1", rounds, _base64(salt, 1), _base64(b64)),
    ),
    (
        rf"\$pbkdf2-{_SHA}\$i={_NUMBER},l=[0-9]{{1,3}}\${_B64}\${_B64}",  # Kratos and Auth0
        lambda digest, rounds, salt, b64: _pbkdf2(digest, rounds, _base64(salt, 1), _base64(b64)),
    ),
    (
        r"\$bcrypt-sha256\$v=(2),t=2b,r=([0-9]{1,2})\$([./A-Za-z0-9]{22})\$([./A-Za-z0-9]{31})",  # passlib
        _bcrypt_of_hmac,
    ),
    (
        r"\$bcrypt-sha256()\$2b,([0-9]{1,2})\$([./A-Za-z0-9]{22})\$([./A-Za-z0-9]{31})",  # passlib before 1.7.3
        _bcrypt_of_hmac,
    ),
    (
        rf"scrypt\${_NUMBER}\${_SALT}\${_NUMBER}\${_NUMBER}\${_B64}",  # Django
        lambda n, salt, r, p, b64: _scrypt(int(n), r, p, salt.encode(), _base64(b64)),
    ),
    (
        rf"scrypt:{_NUMBER}:{_NUMBER}:{_NUMBER}\${_SALT}\${_HEX}",  # Werkzeug
        lambda n, r, p, salt, digits: _scrypt(int(n), r, p, salt.encode(), _hex(digits)),
    ),
    (
        rf"\$scrypt\$ln=([0-9]{{1,2}}),r={_NUMBER},p={_NUMBER}\${_B64}\${_B64}",  # passlib
        lambda ln, r, p, salt, b64: _scrypt(2 ** int(ln), r, p, _base64(salt, 1), _base64(b64)),
    ),
    (
        rf"\$scrypt\$ln=([1-9][0-9]{{2,8}}),r={_NUMBER},p={_NUMBER}\${_B64}\${_B64}",  # Kratos: the cost itself
        lambda n, r, p, salt, b64: _scrypt(int(n), r, p, _base64(salt, 1), _base64(b64)),
    ),
    (
        rf"\$fbscrypt\$v=1,n=([0-9]{{1,2}}),r={_NUMBER},p={_NUMBER},ss={_B64},sk={_B64}\${_B64}\${_B64}",  # Supabase
        lambda n, r, p, ss, sk, salt, b64: _firebase(
            n, r, p, _base64(salt, 1), _base64(ss, 1), _base64(sk), _base64(b64)
        ),
    ),
    (
        rf"\$firescrypt\$ln=([0-9]{{1,2}}),r={_NUMBER},p={_NUMBER}\${_B64}\${_B64}\${_B64}\${_B64}",  # Kratos
        lambda n, r, p, salt, b64, ss, sk: _firebase(
            n, r, p, _base64(salt, 1), _base64(ss, 1), _base64(sk), _base64(b64)
        ),
    ),
)
"""Supported formats, each with the function that parses its parts."""
