"""One passkey for each account, all with the same key pair; simulates the browser and the authenticator."""

import base64
import hashlib
import os
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from bench.messages import HOST

BATCH = 5000
FLAGS = 0x05  # user present, user verified
KEY = ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True, slots=True)
class Passkey:
    """The credential stored in an account's authenticator."""

    credential_id: str
    user_handle: str


def text(data: bytes) -> str:
    """Encode as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def make() -> list[Passkey]:
    """Store a passkey for each user of the current app, as if each had created one; return the credentials."""
    from webauthn.helpers import encode_cbor

    from app import clock
    from app.authenticators.models import Passkey as Row
    from app.crypto import secrets
    from app.extensions import db
    from app.users import User

    numbers = KEY.public_key().public_numbers()
    cose = encode_cbor({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")})
    same: dict[str, Any] = {
        "public_key": cose, "sign_count": 0, "transports": "internal", "backup_eligible": False, "backup_state": False,
        "aaguid": "00000000-0000-0000-0000-000000000000", "name": "Passkey", "usage": "first", "discoverable": True,
        "verified": True, "created_at": clock.now(),
    }  # fmt: skip
    people = db.session.execute(sa.select(User.id, User.handle).order_by(User.id)).all()
    kept = [Passkey(text(os.urandom(32)), text(handle.encode())) for _, handle in people]
    for first in range(0, len(people), BATCH):
        batch = zip(people[first : first + BATCH], kept[first : first + BATCH], strict=True)
        rows = [
            same | {"id": secrets.row_id(), "user_id": user_id, "credential_id": key.credential_id}
            for (user_id, _), key in batch
        ]
        db.session.execute(sa.insert(Row.__table__), rows)  # type: ignore[arg-type]
    db.session.commit()
    return kept


def sign(passkey: Passkey, options: dict[str, Any]) -> str:
    """Return the response of ``navigator.credentials.get`` for ``options``, as JSON text."""
    said = {
        "type": "webauthn.get",
        "challenge": options["challenge"],
        "origin": f"https://{HOST}",
        "crossOrigin": False,
    }
    client_data = orjson.dumps(said)
    data = hashlib.sha256(HOST.encode()).digest() + bytes([FLAGS]) + bytes(4)
    signature = KEY.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(SHA256()))
    response = {
        "clientDataJSON": text(client_data), "authenticatorData": text(data), "signature": text(signature),
        "userHandle": passkey.user_handle,
    }  # fmt: skip
    whole = {"id": passkey.credential_id, "rawId": passkey.credential_id, "type": "public-key", "response": response}
    return orjson.dumps(whole | {"clientExtensionResults": {}}).decode()
