"""Bindings: tie a challenge to the browser that holds its secret (ADR 29)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from app.challenges.models import Challenge
from app.client import MAX_BINDINGS, ClientContext
from app.crypto import secrets
from app.crypto.secrets import base64url
from app.extensions import keyring
from app.sessions.store import set_binding_cookie

_PLACES = range(MAX_BINDINGS + 1)
"""One bind parameter for each secret that a browser may keep."""


def binding_matches(column: Any, name: str = "browser") -> sa.ColumnElement[bool]:
    """Return the condition that ``column`` is one of the bindings passed by ``binding_params`` under this name."""
    where: sa.ColumnElement[bool] = column.in_([sa.bindparam(f"{name}_{place}") for place in _PLACES])
    return where


def binding_params(bindings: Sequence[str], name: str = "browser") -> dict[str, str]:
    """Return the parameters for these bindings; without bindings, parameters that match no browser."""
    known = list(bindings[: len(_PLACES)]) or [""]
    return {f"{name}_{place}": known[min(place, len(known) - 1)] for place in _PLACES}


def binding_of(challenge_id: str, client: ClientContext) -> str:
    """Return the binding of a new challenge with this id, requested by ``client``."""
    return secrets.digest(_secret_of(challenge_id, keyring.kid)) if client.renews else client.binding


def remember_binding(challenge: Challenge) -> Challenge:
    """Add the secret of ``challenge`` to the browser's cookie, if it has one of its own; return ``challenge``.

    The secret is derived from the id, so a repeated request gets the same one.
    """
    for kid in keyring.kids:
        secret = _secret_of(challenge.id, kid)
        if secrets.same(secrets.digest(secret), challenge.binding):
            set_binding_cookie(secret)
    return challenge


def _secret_of(challenge_id: str, kid: str) -> str:
    made = hmac.digest(keyring.derive("browser", kid), challenge_id.encode(), hashlib.sha256)
    return base64url(made)
