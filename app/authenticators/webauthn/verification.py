"""Verify responses of WebAuthn authenticators. Doesn't access the database.

Each step of Web Authentication (Level 3), sections 7.1 and 7.2, that a malicious page could manipulate is checked here,
with a specific error code. py_webauthn parses keys and verifies signatures. We don't request attestation and don't
trust it: an attestation statement that is sent anyway is dropped before anything parses it.

py_webauthn is imported on first use: with all attestation formats, the import takes 5 MB and 60 ms.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import Any

from app.authenticators.models import WebauthnChallenge
from app.authenticators.webauthn.challenges import ALGORITHMS
from app.crypto import secrets
from app.crypto.secrets import base64url
from app.errors import Rejected
from app.extensions import settings

FIELD = "credential"
MAX_ID_LENGTH = 1023
"""Maximum length of a credential id in bytes (section 7.1)."""
TRANSPORTS = ("ble", "hybrid", "internal", "nfc", "smart-card", "usb")
MIN_DATA_LENGTH = 37
"""Minimum length of the authenticator data in bytes: RP ID hash, flags, counter (section 6.1)."""
PRESENT, VERIFIED = 0x01, 0x04
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}\Z", re.ASCII)
_CREATE = "create"


@dataclass(frozen=True, slots=True)
class CredentialResponse:
    """A credential sent by a browser, parsed but not yet verified.

    :ivar id: unpadded base64url
    :ivar user_handle: decoded user handle, "" if none was sent
    """

    id: str
    data: dict[str, Any]
    user_handle: str

    @property
    def response(self) -> dict[str, Any]:
        """The authenticator's response."""
        response: dict[str, Any] = self.data["response"]
        return response


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """A newly created passkey."""

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
class PasskeyUse:
    """The use of a passkey: its signature counter, whether it can be and is synced, and user verification."""

    sign_count: int
    backup_eligible: bool
    backup_state: bool
    verified: bool


def parse(credential: str | dict[str, Any]) -> CredentialResponse:
    """Parse a credential from JSON text or an object.

    :raises Rejected: ``api_error`` on ``credential``
    """
    whole = _object(credential)
    response, its_id = whole.get("response"), whole.get("id")
    if not isinstance(response, dict) or not isinstance(its_id, str) or whole.get("type") != "public-key":
        raise _malformed()
    if whole.get("rawId", its_id) != its_id or not 0 < len(_bytes(its_id)) <= MAX_ID_LENGTH or its_id.endswith("="):
        raise _malformed()
    handle = response.get("userHandle")
    return CredentialResponse(
        its_id, whole | {"rawId": its_id}, _bytes(handle).decode("utf-8", "replace") if handle else ""
    )


def verify_registration(answer: CredentialResponse, ceremony: WebauthnChallenge, *, verified: bool) -> NewPasskey:
    """Verify the response of a ``create`` ceremony, and return the new passkey.

    :param verified: whether user verification (PIN, fingerprint or face) is required
    :raises Rejected: on ``credential``: ``webauthn_wrong_ceremony``, ``webauthn_wrong_challenge``,
        ``webauthn_wrong_origin``, ``webauthn_not_present``, ``webauthn_no_verify`` or ``api_error``
    """
    from webauthn import verify_registration_response
    from webauthn.helpers import decode_credential_public_key, decoded_public_key_to_cryptography
    from webauthn.helpers.cose import COSEAlgorithmIdentifier

    _check_client_data(answer, ceremony)
    data, unattested = _without_attestation(answer)
    _check_authenticator_data(data, verified=verified)
    try:
        made = verify_registration_response(
            credential=answer.data | {"response": answer.response | {"attestationObject": unattested}},
            expected_challenge=_bytes(ceremony.challenge),
            expected_rp_id=settings.rp_id,
            expected_origin=list(settings.webauthn_origins),
            supported_pub_key_algs=[COSEAlgorithmIdentifier(algorithm) for algorithm in ALGORITHMS],
        )
        decoded_public_key_to_cryptography(decode_credential_public_key(made.credential_public_key))
    except Exception as fault:  # untrusted bytes: any parser error means rejection
        raise _error_for(fault) from None
    if base64url(made.credential_id) != answer.id:
        raise _malformed()
    return NewPasskey(
        answer.id, made.credential_public_key, made.sign_count, _transports(answer),
        made.credential_device_type == "multi_device", made.credential_backed_up, made.aaguid, _discoverable(answer),
        made.user_verified,
    )  # fmt: skip


def verify_authentication(
    answer: CredentialResponse, ceremony: WebauthnChallenge, public_key: bytes, *, verified: bool
) -> PasskeyUse:
    """Verify that a passkey signed ``answer`` for this ceremony, and return what it reported.

    The caller has to compare the signature counter.
    :raises Rejected: as ``verify_registration``, and ``webauthn_wrong_signature``
    """
    from webauthn import verify_authentication_response

    _check_client_data(answer, ceremony)
    _check_authenticator_data(_bytes(answer.response.get("authenticatorData")), verified=verified)
    try:
        used = verify_authentication_response(
            credential=answer.data,
            expected_challenge=_bytes(ceremony.challenge),
            expected_rp_id=settings.rp_id,
            expected_origin=list(settings.webauthn_origins),
            credential_public_key=public_key,
            credential_current_sign_count=0,
        )
    except Exception as fault:  # as above
        raise _error_for(fault) from None
    may_sync = used.credential_device_type == "multi_device"
    return PasskeyUse(used.new_sign_count, may_sync, used.credential_backed_up, used.user_verified)


def _check_client_data(answer: CredentialResponse, ceremony: WebauthnChallenge) -> None:
    """Check the client data from the browser: ceremony type, challenge and origin."""
    client_data = _object(_bytes(answer.response.get("clientDataJSON")).decode("utf-8", "replace"))
    if client_data.get("type") != ("webauthn.create" if ceremony.kind == _CREATE else "webauthn.get"):
        raise Rejected("webauthn_wrong_ceremony", field=FIELD)
    challenge = client_data.get("challenge")
    if not isinstance(challenge, str) or not secrets.same(challenge.rstrip("="), ceremony.challenge):
        raise Rejected("webauthn_wrong_challenge", field=FIELD)
    within = client_data.get("crossOrigin", False) is not False or client_data.get("topOrigin") is not None
    if client_data.get("origin") not in settings.webauthn_origins or within:
        raise Rejected("webauthn_wrong_origin", field=FIELD)


def _check_authenticator_data(data: bytes, *, verified: bool) -> None:
    """Check the authenticator data: RP ID hash, user presence and user verification (section 6.1)."""
    if len(data) < MIN_DATA_LENGTH:
        raise _malformed()
    if data[:32] != hashlib.sha256(settings.rp_id.encode()).digest():
        raise Rejected("webauthn_wrong_origin", field=FIELD)
    if not data[32] & PRESENT:
        raise Rejected("webauthn_not_present", field=FIELD)
    if verified and not data[32] & VERIFIED:
        raise Rejected("webauthn_no_verify", field=FIELD)


def _without_attestation(answer: CredentialResponse) -> tuple[bytes, str]:
    """Return the authenticator data, and the attestation object without its attestation statement."""
    from webauthn.helpers import encode_cbor, parse_cbor

    try:
        whole = parse_cbor(_bytes(answer.response.get("attestationObject")))
        data = whole["authData"]
        unattested = encode_cbor({"fmt": "none", "attStmt": {}, "authData": data})
    except Exception as fault:
        raise _error_for(fault) from None
    if not isinstance(data, bytes):
        raise _malformed()
    return data, base64url(unattested)


def _transports(answer: CredentialResponse) -> str:
    said = answer.response.get("transports")
    named = [str(one) for one in said] if isinstance(said, list) else []
    return ",".join(name for name in TRANSPORTS if name in named)


def _discoverable(answer: CredentialResponse) -> bool | None:
    """Return whether the passkey is discoverable according to the ``credProps`` extension; None if not reported."""
    results = answer.data.get("clientExtensionResults") or answer.data.get("extensions")
    if isinstance(results, str):  # as the reference's script sends them
        results = _object(results)
    properties = results.get("credProps") if isinstance(results, dict) else None
    said = properties.get("rk") if isinstance(properties, dict) else None
    return said if isinstance(said, bool) else None


def _object(text: str | dict[str, Any]) -> dict[str, Any]:
    """Parse ``text`` as a JSON object."""
    if isinstance(text, dict):
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise _malformed() from None
    if not isinstance(found, dict):
        raise _malformed()
    return found


def _bytes(text: Any) -> bytes:
    """Decode base64url strictly, with or without padding."""
    if not isinstance(text, str) or not _BASE64URL.match(text):
        raise _malformed()
    try:
        return urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
    except ValueError:
        raise _malformed() from None


def _error_for(fault: Exception) -> Rejected:
    """Return the error for an exception of py_webauthn."""
    wrong = "verify authentication signature" in str(fault)
    return Rejected("webauthn_wrong_signature" if wrong else "api_error", field=FIELD)


def _malformed() -> Rejected:
    return Rejected("api_error", field=FIELD)
