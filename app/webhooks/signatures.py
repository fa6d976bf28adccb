"""Secrets of endpoints, and their signatures (Standard Webhooks 1.0.0, "Signature scheme": symmetric, ``v1``)."""

from __future__ import annotations

import hmac
import secrets as random
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.authenticators.keys import SealedColumn
from app.extensions import keyring
from app.webhooks.models import WebhookEndpoint

PREFIX = "whsec_"
BYTES = 32


def new_secret() -> bytes:
    """Return a new secret."""
    return random.token_bytes(BYTES)


def encoded(secret: bytes) -> str:
    """Return a secret in the format that a receiver needs. Show it once."""
    return PREFIX + b64encode(secret).decode()


def seal(secret: bytes, endpoint_id: str, column: str = "secret") -> str:
    """Return a secret sealed for storage."""
    return keyring.seal(secret, *_context(endpoint_id, column))


def secrets_of(endpoint: WebhookEndpoint, now: datetime) -> list[bytes]:
    """Return the secrets that sign for an endpoint: the current one, and the previous one while it is valid."""
    found = [keyring.open(endpoint.secret, *_context(endpoint.id, "secret"))]
    if endpoint.old_secret and endpoint.old_secret_until is not None and now < endpoint.old_secret_until:
        found.append(keyring.open(endpoint.old_secret, *_context(endpoint.id, "old_secret")))
    return found


def signature(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the ``webhook-signature`` header: a signature with each secret."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{b64encode(hmac.digest(secret, signed, 'sha256')).decode()}" for secret in secrets)


def _context(endpoint_id: str, column: str) -> tuple[str, ...]:
    return WebhookEndpoint.__tablename__, column, endpoint_id


def _context_of_current(row: Any) -> tuple[str, ...]:
    return _context(row.id, "secret")


def _context_of_old(row: Any) -> tuple[str, ...]:
    return _context(row.id, "old_secret")


SEALED = (
    SealedColumn(WebhookEndpoint, _context_of_current),
    SealedColumn(WebhookEndpoint, _context_of_old, secret="old_secret"),  # noqa: S106 - a column's name
)
"""Keeps the master keys that these need from being removed, and lets rotation reseal them."""
