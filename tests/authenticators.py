"""A software authenticator that does whatever a test asks, including what no real one would do.

def test_it(wire, device):
    options, state = ...
    wire.post(f"/wan-register/{state}", credential=device.make(options))
"""

from __future__ import annotations

import hashlib
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

ORIGIN = "http://localhost"
PRESENT, VERIFIED, MAY_SYNC, SYNCED, HAS_KEY = 0x01, 0x04, 0x08, 0x10, 0x40


def encoded(data: bytes) -> str:
    """Encode as base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """Decode base64url without padding."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Key:
    """A passkey stored on a device."""

    id: bytes
    private: Any
    user_handle: bytes
    count: int = 0


@dataclass
class Device:
    """An authenticator and the browser in front of it. Keywords of ``make`` and ``sign`` override parts of the
    response.

    :ivar flags: user and backup flags, by default user present and verified, and backed up
    :ivar counts: increment of the signature counter at each use; 0 for a synced authenticator, which doesn't count
    """

    flags: int = PRESENT | VERIFIED | MAY_SYNC | SYNCED
    aaguid: bytes = bytes(16)
    counts: int = 0
    algorithm: int = -7
    keys: list[Key] = field(default_factory=list)

    def make(self, options: dict[str, Any], **bent: Any) -> str:
        """Return the result of ``navigator.credentials.create`` as JSON text."""
        key = Key(bent.get("id", os.urandom(32)), self._private(), decoded(options["user"]["id"]))
        self.keys.append(key)
        attested = self.aaguid + len(key.id).to_bytes(2, "big") + key.id + cbor2.dumps(self._cose(key))
        data = self._data(options["rp"]["id"], HAS_KEY, 0, bent) + bent.get("attested", attested)
        statement = {"fmt": bent.get("fmt", "none"), "attStmt": bent.get("statement", {}), "authData": data}
        response = {
            "clientDataJSON": self._client_data("webauthn.create", options, bent),
            "attestationObject": encoded(bent.get("attestation", cbor2.dumps(statement))),
            "transports": bent.get("transports", ["internal", "hybrid", "carrier-pigeon"]),
        }
        return json.dumps(self._whole(key, response, bent) | {"clientExtensionResults": {"credProps": {"rk": True}}})

    def sign(self, options: dict[str, Any], key: Key | None = None, **bent: Any) -> str:
        """Return the result of ``navigator.credentials.get`` as JSON text.

        :param key: the key to sign with, by default the newest
        """
        key = key or self.keys[-1]
        key.count = bent.get("count", key.count + self.counts)
        data = self._data(options["rpId"], 0, key.count, bent)
        said = self._client_data("webauthn.get", options, bent)
        signature = self._signature(key, data + hashlib.sha256(decoded(said)).digest())
        response = {
            "clientDataJSON": said,
            "authenticatorData": encoded(data),
            "signature": encoded(bent.get("signature", signature)),
            "userHandle": encoded(bent.get("user_handle", key.user_handle)),
        }
        return json.dumps(self._whole(key, response, bent))

    def _whole(self, key: Key, response: dict[str, Any], bent: dict[str, Any]) -> dict[str, Any]:
        its_id = encoded(key.id)
        whole = {"id": its_id, "rawId": its_id, "type": "public-key", "response": response}
        return whole | {"authenticatorAttachment": "platform", "clientExtensionResults": {}} | bent.get("whole", {})

    def _client_data(self, kind: str, options: dict[str, Any], bent: dict[str, Any]) -> str:
        said = {"type": kind, "challenge": options["challenge"], "origin": ORIGIN, "crossOrigin": False}
        return encoded(bent.get("client_data", json.dumps(said | bent.get("said", {})).encode()))

    def _data(self, rp_id: str, more: int, count: int, bent: dict[str, Any]) -> bytes:
        rp_hash = hashlib.sha256(bent.get("rp_id", rp_id).encode()).digest()
        return rp_hash + bytes([bent.get("flags", self.flags) | more]) + count.to_bytes(4, "big")

    def _private(self) -> Any:
        if self.algorithm == -8:
            return ed25519.Ed25519PrivateKey.generate()
        if self.algorithm == -257:
            return rsa.generate_private_key(65537, 2048)
        return ec.generate_private_key(ec.SECP256R1())

    def _cose(self, key: Key) -> dict[int, Any]:
        if self.algorithm == -8:
            return {1: 1, 3: -8, -1: 6, -2: key.private.public_key().public_bytes_raw()}
        numbers = key.private.public_key().public_numbers()
        if self.algorithm == -257:
            return {1: 3, 3: -257, -1: numbers.n.to_bytes(256, "big"), -2: numbers.e.to_bytes(3, "big")}
        return {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}

    def _signature(self, key: Key, data: bytes) -> bytes:
        if self.algorithm == -8:
            return bytes(key.private.sign(data))
        if self.algorithm == -257:
            return bytes(key.private.sign(data, padding.PKCS1v15(), SHA256()))
        return bytes(key.private.sign(data, ec.ECDSA(SHA256())))
