"""Encryption at rest: AES-256-GCM under a ring of keys, bound to a row's context.

The context, by convention table, row, user and method, is authenticated together with the secret (NIST SP 800-38D), so
a sealed text copied to another row can't be decrypted (ASVS 11.3.2, 11.3.3). Decrypting takes a few microseconds,
because ciphers and derived keys are created once per process.
"""

import base64
import hashlib
import os
import re
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.crypto.secrets import base64url

VERSION = "v1"
NONCE_BYTES = 12  # 96 bits, random: one key may seal 2**32 texts (SP 800-38D, section 8.3)
_SEALED = re.compile(r"v1\.([0-9a-f]{8})\.([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]{22,})\Z")


class DecryptionError(Exception):
    """A sealed text can't be decrypted: its key isn't in the ring, or the text or its context was changed.

    :ivar kid: key id in the text; "" if it isn't a sealed text
    :ivar key_is_unknown: whether that key is missing from the ring, which an operator can fix
    """

    def __init__(self, kid: str, key_is_unknown: bool) -> None:
        what = f"key {kid} is not in the ring" if key_is_unknown else f"not intact under key {kid or '(none)'}"
        super().__init__(f"Cannot open a sealed text: {what}.")
        self.kid = kid
        self.key_is_unknown = key_is_unknown


class KeyRing:
    """The keys of this installation. The first one encrypts, all of them decrypt (ASVS 11.2.2, 13.3.4).

    Each key is a text with at least 256 random bits. A ring is thread-safe.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        """Create a ring of ``keys``, the current one first. Raises ``ValueError`` if there are none or ids collide."""
        if not keys or not all(keys):
            raise ValueError("A key ring needs at least one key, and none of them empty.")
        self._keys = {_key_id(key): key.encode() for key in keys}
        if len(self._keys) != len(set(keys)):
            raise ValueError("Two keys of the ring have the same id. Replace the newer one.")
        self.kid = next(iter(self._keys))
        self._derived: dict[tuple[str, str], bytes] = {}
        self._ciphers: dict[str, AESGCM] = {}

    def __repr__(self) -> str:
        return f"<KeyRing {', '.join(self._keys)}>"

    @property
    def kids(self) -> tuple[str, ...]:
        """The ids of all keys, the current one first. An id has 8 hexadecimal digits and isn't secret."""
        return tuple(self._keys)

    def seal(self, plain: bytes, *context: str) -> str:
        """Return ``plain`` encrypted under the current key as ``v1.kid.nonce.ciphertext``, URL-safe.

        Sealing the same bytes twice gives different texts.

        :param context: what it belongs to; ``open`` needs the same values in the same order
        """
        nonce = os.urandom(NONCE_BYTES)
        ciphertext = self._cipher(self.kid).encrypt(nonce, plain, _associated_data(self.kid, context))
        return f"{VERSION}.{self.kid}.{base64url(nonce)}.{base64url(ciphertext)}"

    def open(self, sealed: str, *context: str) -> bytes:
        """Return the decrypted bytes. Raises ``DecryptionError`` for an unknown key, or if anything was changed."""
        parts = _SEALED.match(sealed)
        if parts is None:
            raise DecryptionError("", key_is_unknown=False)
        kid, nonce, ciphertext = parts.groups()
        cipher = self._cipher(kid)
        try:
            return cipher.decrypt(_decode(nonce), _decode(ciphertext), _associated_data(kid, context))
        except (ValueError, InvalidTag):
            raise DecryptionError(kid, key_is_unknown=False) from None

    def derive(self, purpose: str, kid: str | None = None) -> bytes:
        """Return the 32-byte key for one purpose, such as ``"csrf"``, by HKDF-SHA256 (RFC 5869).

        The same purpose and key give the same bytes in every process. Keys for different purposes are independent.

        :param kid: id of the key to derive from; None for the current one
        :raises DecryptionError: when the ring doesn't have that key
        """
        kid = kid or self.kid
        if kid not in self._keys:
            raise DecryptionError(kid, key_is_unknown=True)
        if (kid, purpose) not in self._derived:
            hkdf = HKDF(SHA256(), length=32, salt=None, info=f"latchkey|{VERSION}|{purpose}".encode())
            self._derived[kid, purpose] = hkdf.derive(self._keys[kid])
        return self._derived[kid, purpose]

    def _cipher(self, kid: str) -> AESGCM:
        if kid not in self._ciphers:
            self._ciphers[kid] = AESGCM(self.derive("seal", kid))
        return self._ciphers[kid]


def kid_of(sealed: str) -> str:
    """Return the key id in a sealed text; "" if it isn't a sealed text."""
    parts = _SEALED.match(sealed)
    return parts[1] if parts else ""


def _key_id(key: str) -> str:
    return hashlib.sha256(b"latchkey key id\0" + key.encode()).hexdigest()[:8]


def _associated_data(kid: str, context: tuple[str, ...]) -> bytes:
    """Join version, key id and context, each prefixed with its length, so that different lists give different bytes."""
    return "".join([f"{len(part)}:{part}" for part in (VERSION, kid, *context)]).encode()


def _decode(text: str) -> bytes:
    """Decode base64url. Raises ``ValueError`` unless ``text`` is the canonical encoding.

    The last character has bits that decoding ignores (RFC 4648, section 3.5). Changing them must fail as well.
    """
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64url(data) != text:
        raise ValueError("not canonical base64url")
    return data
