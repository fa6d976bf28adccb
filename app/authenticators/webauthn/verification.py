"""Verify what a WebAuthn authenticator answered. Reads and writes no row.

Each step of Web Authentication (Level 3), sections 7.1 and 7.2, that a hostile page could bend is checked here, with a
code of its own; reading the key and the signature is py_webauthn's work. We ask for no attestation and believe none: a
statement that comes all the same is dropped before anything looks at it.

py_webauthn is imported by the first passkey: with all formats of attestation it takes 5 MB and 60 ms.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

from app.authenticators.models import WebauthnChallenge
from app.authenticators.webauthn.challenges import ALGORITHMS
from app.crypto import secrets
from app.errors import Rejected
from app.extensions import settings

FIELD = "credential"
LONGEST_ID = 1023
"""Bytes of a credential's id, at most (section 7.1)."""
TRANSPORTS = ("ble", "hybrid", "internal", "nfc", "smart-card", "usb")
SHORTEST_DATA = 37
"""Bytes that an authenticator says at the least: hash of the site, flags, counter (section 6.1)."""
PRESENT, VERIFIED = 0x01, 0x04
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}\Z", re.ASCII)
_MAKES = "create"


@dataclass(frozen=True, slots=True)
class Answer:
    """A credential as a browser sent it, read and of the right shape, not yet believed.

    :ivar id: base64url without padding
    :ivar user_handle: decoded, "" when it sent none
    """

    id: str
    whole: dict[str, Any]
    user_handle: str

    @property
    def response(self) -> dict[str, Any]:
        """What the authenticator said."""
        response: dict[str, Any] = self.whole["response"]
        return response


@dataclass(frozen=True, slots=True)
class Made:
    """A passkey that was just made."""

    credential_id: str
    public_key: bytes
    sign_count: int
    transports: str
    backup_eligible: bool
    backup_state: bool
    aaguid: str
    discoverable: bool | None
    verified: bool


@dataclass(frozen=True, slots=True)
class Used:
    """A passkey that has just signed: its counter, whether it can be and is synced, whether it verified its holder."""

    sign_count: int
    backup_eligible: bool
    backup_state: bool
    verified: bool


def read(credential: str | dict[str, Any]) -> Answer:
    """Read a credential: JSON text, or the object itself.

    :raises Rejected: ``api_error`` on ``credential``
    """
    whole = _object(credential)
    response, its_id = whole.get("response"), whole.get("id")
    if not isinstance(response, dict) or not isinstance(its_id, str) or whole.get("type") != "public-key":
        raise _unreadable()
    if whole.get("rawId", its_id) != its_id or not 0 < len(_bytes(its_id)) <= LONGEST_ID or its_id.endswith("="):
        raise _unreadable()
    handle = response.get("userHandle")
    return Answer(its_id, whole | {"rawId": its_id}, _bytes(handle).decode("utf-8", "replace") if handle else "")


def check_made(answer: Answer, ceremony: WebauthnChallenge, *, verified: bool) -> Made:
    """Return the passkey that ``answer`` makes.

    :param verified: whether its holder must have shown a PIN, a finger or a face
    :raises Rejected: on ``credential``: ``webauthn_wrong_ceremony``, ``webauthn_wrong_challenge``,
        ``webauthn_wrong_origin``, ``webauthn_not_present``, ``webauthn_no_verify`` or ``api_error``
    """
    from webauthn import verify_registration_response
    from webauthn.helpers import decode_credential_public_key, decoded_public_key_to_cryptography
    from webauthn.helpers.cose import COSEAlgorithmIdentifier

    _check_page(answer, ceremony)
    data, unattested = _without_attestation(answer)
    _check_data(data, verified=verified)
    try:
        made = verify_registration_response(
            credential=answer.whole | {"response": answer.response | {"attestationObject": unattested}},
            expected_challenge=_bytes(ceremony.challenge),
            expected_rp_id=settings.rp_id,
            expected_origin=list(settings.webauthn_origins),
            supported_pub_key_algs=[COSEAlgorithmIdentifier(algorithm) for algorithm in ALGORITHMS],
        )
        decoded_public_key_to_cryptography(decode_credential_public_key(made.credential_public_key))
    except Exception as fault:  # hostile bytes: whatever a parser makes of them is a no
        raise _because(fault) from None
    if text_of(made.credential_id) != answer.id:
        raise _unreadable()
    return Made(
        answer.id, made.credential_public_key, made.sign_count, _transports(answer),
        made.credential_device_type == "multi_device", made.credential_backed_up, made.aaguid, _discoverable(answer),
        made.user_verified,
    )  # fmt: skip


def check_used(answer: Answer, ceremony: WebauthnChallenge, public_key: bytes, *, verified: bool) -> Used:
    """Return how a passkey was used, if ``answer`` is signed by it for this ceremony.

    Its counter is for the caller to compare.
    :raises Rejected: as ``check_made``, and ``webauthn_wrong_signature``
    """
    from webauthn import verify_authentication_response

    _check_page(answer, ceremony)
    _check_data(_bytes(answer.response.get("authenticatorData")), verified=verified)
    try:
        used = verify_authentication_response(
            credential=answer.whole,
            expected_challenge=_bytes(ceremony.challenge),
            expected_rp_id=settings.rp_id,
            expected_origin=list(settings.webauthn_origins),
            credential_public_key=public_key,
            credential_current_sign_count=0,
        )
    except Exception as fault:  # as above
        raise _because(fault) from None
    may_sync = used.credential_device_type == "multi_device"
    return Used(used.new_sign_count, may_sync, used.credential_backed_up, used.user_verified)


def _check_page(answer: Answer, ceremony: WebauthnChallenge) -> None:
    """Check what the browser itself says: which ceremony, for which challenge, on which page."""
    said = _object(_bytes(answer.response.get("clientDataJSON")).decode("utf-8", "replace"))
    if said.get("type") != ("webauthn.create" if ceremony.kind == _MAKES else "webauthn.get"):
        raise Rejected("webauthn_wrong_ceremony", field=FIELD)
    challenge = said.get("challenge")
    if not isinstance(challenge, str) or not secrets.same(challenge.rstrip("="), ceremony.challenge):
        raise Rejected("webauthn_wrong_challenge", field=FIELD)
    within = said.get("crossOrigin", False) is not False or said.get("topOrigin") is not None
    if said.get("origin") not in settings.webauthn_origins or within:
        raise Rejected("webauthn_wrong_origin", field=FIELD)


def _check_data(data: bytes, *, verified: bool) -> None:
    """Check what the authenticator says of the site and of its holder (section 6.1)."""
    if len(data) < SHORTEST_DATA:
        raise _unreadable()
    if data[:32] != hashlib.sha256(settings.rp_id.encode()).digest():
        raise Rejected("webauthn_wrong_origin", field=FIELD)
    if not data[32] & PRESENT:
        raise Rejected("webauthn_not_present", field=FIELD)
    if verified and not data[32] & VERIFIED:
        raise Rejected("webauthn_no_verify", field=FIELD)


def _without_attestation(answer: Answer) -> tuple[bytes, str]:
    """Return the authenticator's data, and its attestation object with no statement in it."""
    from webauthn.helpers import encode_cbor, parse_cbor

    try:
        whole = parse_cbor(_bytes(answer.response.get("attestationObject")))
        data = whole["authData"]
        unattested = encode_cbor({"fmt": "none", "attStmt": {}, "authData": data})
    except Exception as fault:
        raise _because(fault) from None
    if not isinstance(data, bytes):
        raise _unreadable()
    return data, text_of(unattested)


def _transports(answer: Answer) -> str:
    said = answer.response.get("transports")
    named = [str(one) for one in said] if isinstance(said, list) else []
    return ",".join(name for name in TRANSPORTS if name in named)


def _discoverable(answer: Answer) -> bool | None:
    """Return what the browser says of it by the extension ``credProps``; None when it says nothing."""
    results = answer.whole.get("clientExtensionResults") or answer.whole.get("extensions")
    if isinstance(results, str):  # as the reference's script sends them
        results = _object(results)
    properties = results.get("credProps") if isinstance(results, dict) else None
    said = properties.get("rk") if isinstance(properties, dict) else None
    return said if isinstance(said, bool) else None


def _object(text: str | dict[str, Any]) -> dict[str, Any]:
    """Return the JSON object that ``text`` is."""
    if isinstance(text, dict):
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise _unreadable() from None
    if not isinstance(found, dict):
        raise _unreadable()
    return found


def _bytes(text: Any) -> bytes:
    """Decode base64url, with or without padding, and nothing but that."""
    if not isinstance(text, str) or not _BASE64URL.match(text):
        raise _unreadable()
    try:
        return urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
    except ValueError:
        raise _unreadable() from None


def text_of(data: bytes) -> str:
    """Return ``data`` as base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _because(fault: Exception) -> Rejected:
    """Return the refusal that a fault of the library stands for."""
    wrong = "verify authentication signature" in str(fault)
    return Rejected("webauthn_wrong_signature" if wrong else "api_error", field=FIELD)


def _unreadable() -> Rejected:
    return Rejected("api_error", field=FIELD)
