"""WebAuthn challenges: one per ceremony, spent by the first response.

Web Authentication (Level 3), section 13.4.3: 32 random bytes, stored on the server, valid once and for five minutes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Literal

import sqlalchemy as sa

from app import clock
from app.authenticators.models import Passkey, WebauthnChallenge
from app.challenges.models import challenge_id_in, challenge_token_of
from app.client import ClientContext
from app.crypto import secrets
from app.crypto.secrets import base64url
from app.db.compiled import CompiledStatement, Detached, detached_from
from app.db.retention import delete_batch
from app.errors import Rejected
from app.extensions import db, settings
from app.users import User

LIFETIME = timedelta(minutes=5)
ALGORITHMS = (-8, -7, -257)
"""EdDSA, ES256, RS256 (IANA COSE): the algorithms of authenticators in use, in order of preference."""

Kind = Literal["create", "get", "second", "verify"]

_ROWS = Detached(WebauthnChallenge)
_table = WebauthnChallenge.__table__
_c = _table.c
_INSERT = CompiledStatement.into(_table)
_SPEND = CompiledStatement(
    sa.update(_table)
    .where(_c.id == sa.bindparam("spent"), _c.kind == sa.bindparam("spent_kind"))
    .where(sa.or_(_c.binding == sa.bindparam("bound_to"), _c.binding == ""))
    .where(_c.spent_at.is_(None), _c.expires_at > sa.bindparam("now"))
    .values(spent_at=sa.bindparam("now"))
    .returning(_table),
    autocommit=True,
)
_FIND = CompiledStatement(_ROWS.select().where(_c.id == sa.bindparam("id"), _c.kind == sa.bindparam("kind")))


def begin(
    kind: Kind, binding: str, *, user_id: int | None = None, name: str = "", usage: str = ""
) -> WebauthnChallenge:
    """Create a challenge for one ceremony.

    :param binding: the only client that may answer: the id of a session or pending sign-in, or ``binding_of``
    :param user_id: the owner of the passkey; None if any user may answer
    """
    now = clock.now()
    row: dict[str, Any] = {
        "id": secrets.row_id(), "kind": kind, "challenge": secrets.token(), "user_id": user_id, "name": name,
        "binding": binding, "usage": usage, "created_at": now,
        "expires_at": now + LIFETIME, "spent_at": None,
    }  # fmt: skip
    _INSERT.run(**row)
    return detached_from(WebauthnChallenge, row)


def binding_of(client: ClientContext) -> str:
    """Return the binding of a ceremony without a session: the digest of the browser's secret.

    It's "" for an API client without cookies, which has no such secret. Only that client has the state to send back.
    """
    return client.binding if client.keeps_cookies else ""


def spend(state: str, kind: Kind, binding: str) -> WebauthnChallenge:
    """Spend the challenge of ``state`` and return it. It accepts only one response, right or wrong.

    Committed immediately, so that no later error makes it valid again, and no lock is held while a key is parsed.
    :param binding: the binding of the client that responds, as in ``begin``
    :raises Rejected: ``webauthn_expired`` if it has expired; ``api_error`` if it was used, belongs to another ceremony
        or browser, or never existed
    """
    ceremony_id = challenge_id_in(state) or ""
    given = {"spent": ceremony_id, "spent_kind": kind, "bound_to": binding, "now": clock.now()}
    rows = _SPEND.all(**given) if ceremony_id else []
    if rows:
        spent: WebauthnChallenge = _ROWS.read(rows[0])[0]
        return spent
    row = _FIND.first(id=ceremony_id, kind=kind) if ceremony_id else None
    found = _ROWS.read(row)[0] if row else None
    late = found is not None and found.spent_at is None and found.expires_at <= clock.now()
    raise Rejected("webauthn_expired" if late else "api_error")


def handle_text(user: User) -> str:
    """Return the WebAuthn user handle of ``user`` as base64url: the account's handle, 128 meaningless random bits."""
    return base64url(user.handle.encode())


def state_of(ceremony: WebauthnChallenge) -> str:
    """Return the signed token for ``ceremony``, which can't be forged."""
    return challenge_token_of(ceremony.id)


def creation_options(ceremony: WebauthnChallenge, user: User, label: str, known: Iterable[Passkey]) -> dict[str, Any]:
    """Return the options for creating a passkey (PublicKeyCredentialCreationOptionsJSON).

    A passkey that can be used alone to sign in must be discoverable, and is asked for user verification.
    :param label: name of the account for the browser to display
    :param known: existing passkeys of the user, to be excluded
    """
    alone = ceremony.usage == "first"
    return {
        "rp": {"id": settings.rp_id, "name": settings.brand_name},
        "user": {"id": handle_text(user), "name": label, "displayName": label},
        "challenge": ceremony.challenge,
        "pubKeyCredParams": [{"type": "public-key", "alg": algorithm} for algorithm in ALGORITHMS],
        "timeout": int(LIFETIME.total_seconds() * 1000),
        "excludeCredentials": descriptors(known),
        "authenticatorSelection": {
            "residentKey": "required" if alone else "discouraged",
            "requireResidentKey": alone,
            "userVerification": settings.passkey_user_verification if alone else "discouraged",
        },
        "attestation": "none",
        "extensions": {"credProps": True},
    }


def request_options(
    ceremony: WebauthnChallenge, known: Iterable[Passkey] = (), *, alone: bool = True
) -> dict[str, Any]:
    """Return the options for requesting a passkey (PublicKeyCredentialRequestOptionsJSON).

    :param known: accepted passkeys; if empty, the browser offers those it has
    :param alone: whether the passkey is the only factor
    """
    return {
        "challenge": ceremony.challenge,
        "timeout": int(LIFETIME.total_seconds() * 1000),
        "rpId": settings.rp_id,
        "allowCredentials": descriptors(known),
        "userVerification": settings.passkey_user_verification if alone else "preferred",
    }


def descriptors(passkeys: Iterable[Passkey]) -> list[dict[str, Any]]:
    """Return the descriptors of passkeys, with their transports if known."""
    return [
        {"type": "public-key", "id": key.credential_id, "transports": transports_of(key)}
        if key.transports
        else {"type": "public-key", "id": key.credential_id}
        for key in passkeys
    ]


def transports_of(passkey: Passkey) -> list[str]:
    """Return the transports of a passkey."""
    return passkey.transports.split(",") if passkey.transports else []


def prune_webauthn_challenges() -> int:
    """Delete a batch of expired challenges; return how many."""
    return delete_batch(db.session, WebauthnChallenge, WebauthnChallenge.expires_at < clock.now() - LIFETIME)
