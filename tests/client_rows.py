"""OAuth client rows for tests, and their credentials."""

from __future__ import annotations

import base64
import time
import uuid
from typing import Any
from urllib.parse import quote_plus

from flask import Flask
from joserfc import jwk, jwt

SECRET = "s3cret-of-the-app-0123456789abcdef-0123456789"
REDIRECT_URI = "https://app.example.com/callback"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def register(app: Flask, client_id: str = "app", *, secret: str = SECRET, **registered: Any) -> str:
    """Store a client as the command does, and return its ID.

    :param secret: "" for a client without one
    :param registered: columns of the row, or fields of ``Client``
    """
    from app.crypto import secrets
    from app.extensions import db
    from app.oidc.models import OAuthClient

    columns = {name: registered.pop(name) for name in list(registered) if name in OAuthClient.__table__.c}
    fields = {"name": "An app", "redirect_uris": [REDIRECT_URI]} | registered
    digest = secrets.digest(secret) if secret and fields.get("auth_method") != "none" else None
    with app.app_context():
        row = {"source": "command", "secret_digest": digest} | columns
        db.session.add(OAuthClient(id=client_id, registered=fields, **row))
        db.session.commit()
    return client_id


def basic(client_id: str, secret: str = SECRET) -> dict[str, str]:
    """Return the header of ``client_secret_basic`` (RFC 6749, section 2.3.1)."""
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


class Signer:
    """A client's key, which signs assertions."""

    def __init__(self, alg: str = "ES256", kid: str | None = None) -> None:
        kinds: dict[str, tuple[str, Any]] = {"ES256": ("EC", "P-256"), "EdDSA": ("OKP", "Ed25519")}
        kinds["Ed25519"] = kinds["EdDSA"]
        kind, size = kinds.get(alg, ("RSA", 2048))
        self.alg, self.kid = alg, kid
        self.key = jwk.generate_key(kind, size, {"kid": kid} if kid else None)

    @property
    def jwks(self) -> dict[str, Any]:
        """The public key set for the registration."""
        return {"keys": [self.key.as_dict(private=False)]}

    def sign(self, client_id: str = "app", *, header: dict[str, Any] | None = None, **claims: Any) -> dict[str, str]:
        """Return the form fields of ``private_key_jwt``. Claims set to None are left out."""
        now = int(time.time())
        usual = {"iss": client_id, "sub": client_id, "aud": "http://localhost", "jti": uuid.uuid4().hex}
        usual |= {"iat": now, "exp": now + 60} | claims
        names = {"alg": self.alg} | ({"kid": self.kid} if self.kid else {}) | (header or {})
        signed = {name: value for name, value in usual.items() if value is not None}
        token = jwt.encode(names, signed, self.key, algorithms=[names["alg"]])
        return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": token}
