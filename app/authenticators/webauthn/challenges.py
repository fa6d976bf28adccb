"""WebAuthn challenges: one for each ceremony, spent by the first answer.

Web Authentication (Level 3), section 13.4.3: 32 random bytes, kept here, good once and for five minutes.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Literal

import sqlalchemy as sa

from app import clock
from app.authenticators.models import Passkey, WebauthnChallenge
from app.challenges.models import challenge_id_in, challenge_token_of
from app.client import ClientContext
from app.crypto import secrets
from app.db.compiled import CompiledStatement, Detached, detached_from
from app.errors import Rejected
from app.extensions import settings
from app.users import User

LIFE = timedelta(minutes=5)
ALGORITHMS = (-8, -7, -257)
"""EdDSA, ES256, RS256 (IANA COSE): what authenticators in use can do, the best first."""

Kind = Literal["create", "get", "second", "verify"]

_ROWS = Detached(WebauthnChallenge)
_table = WebauthnChallenge.__table__
_c = _table.c
_INSERT = CompiledStatement.into(_table)
_SPEND = CompiledStatement(
    sa.update(_table)
    .where(_c.id == sa.bindparam("spent"), _c.kind == sa.bindparam("what_for"))
    .where(sa.or_(_c.binding == sa.bindparam("where"), _c.binding == ""))
    .where(_c.spent_at.is_(None), _c.expires_at > sa.bindparam("now"))
    .values(spent_at=sa.bindparam("now"))
    .returning(_table),
    at_once=True,
)
_FIND = CompiledStatement(_ROWS.select().where(_c.id == sa.bindparam("id"), _c.kind == sa.bindparam("kind")))


def begin(kind: Kind, where: str, *, user_id: int | None = None, name: str = "", usage: str = "") -> WebauthnChallenge:
    """Make a challenge for one ceremony.

    :param where: whose answer alone is taken: the id of a session, or ``place_of`` a browser
    :param user_id: whose passkey it is about; None where anybody may answer
    """
    now = clock.now()
    row: dict[str, Any] = {
        "id": secrets.row_id(), "kind": kind, "challenge": secrets.token(), "user_id": user_id, "name": name,
        "binding": where, "usage": usage, "created_at": now,
        "expires_at": now + LIFE, "spent_at": None,
    }  # fmt: skip
    _INSERT.run(**row)
    return detached_from(WebauthnChallenge, row)


def place_of(client: ClientContext) -> str:
    """Return what a ceremony of who is not signed in is bound to: the browser's secret, by its digest.

    A program that keeps no cookies has nothing to bind to: it hands the state back, which it alone has.
    """
    return client.binding if client.keeps_cookies else ""


def spend(state: str, kind: Kind, where: str) -> WebauthnChallenge:
    """Use up the challenge that ``state`` names and return it: whatever answers it, right or wrong, is the only one.

    Committed at once: nothing that goes wrong later makes it good again, and no lock is held while a key is read.
    :param where: the id of the session, or the binding of the browser, that brings the answer
    :raises Rejected: ``webauthn_expired`` when it took too long; ``api_error`` when it was used, was made for another
        ceremony or another browser, or never was
    """
    ceremony_id = challenge_id_in(state) or ""
    given = {"spent": ceremony_id, "what_for": kind, "where": where, "now": clock.now()}
    rows = _SPEND.all(**given) if ceremony_id else []
    if rows:
        spent: WebauthnChallenge = _ROWS.read(rows[0])[0]
        return spent
    row = _FIND.first(id=ceremony_id, kind=kind) if ceremony_id else None
    found = _ROWS.read(row)[0] if row else None
    late = found is not None and found.spent_at is None and found.expires_at <= clock.now()
    raise Rejected("webauthn_expired" if late else "api_error")


def handle_text(user: User) -> str:
    """Return the user handle of ``user`` as browsers take it: the account's own, 128 random bits that say nothing."""
    return urlsafe_b64encode(user.handle.encode()).rstrip(b"=").decode()


def state_of(ceremony: WebauthnChallenge) -> str:
    """Return the text that names ``ceremony`` and that nobody can make up."""
    return challenge_token_of(ceremony.id)


def creation_options(ceremony: WebauthnChallenge, user: User, label: str, known: Iterable[Passkey]) -> dict[str, Any]:
    """Return what a browser needs to make a passkey (PublicKeyCredentialCreationOptionsJSON).

    One that is to sign in alone must be found without being named, and ask its holder for something.
    :param label: what the browser calls the account
    :param known: passkeys of the user, which are not to be made again
    """
    alone = ceremony.usage == "first"
    return {
        "rp": {"id": settings.rp_id, "name": settings.brand_name},
        "user": {"id": handle_text(user), "name": label, "displayName": label},
        "challenge": ceremony.challenge,
        "pubKeyCredParams": [{"type": "public-key", "alg": algorithm} for algorithm in ALGORITHMS],
        "timeout": int(LIFE.total_seconds() * 1000),
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
    """Return what a browser needs to ask for a passkey (PublicKeyCredentialRequestOptionsJSON).

    :param known: the ones that will do; none named lets the browser offer what it has
    :param alone: whether nothing else is proved beside it
    """
    return {
        "challenge": ceremony.challenge,
        "timeout": int(LIFE.total_seconds() * 1000),
        "rpId": settings.rp_id,
        "allowCredentials": descriptors(known),
        "userVerification": settings.passkey_user_verification if alone else "preferred",
    }


def descriptors(passkeys: Iterable[Passkey]) -> list[dict[str, Any]]:
    """Name passkeys to a browser, with how it reaches them."""
    return [
        {"type": "public-key", "id": key.credential_id, "transports": transports_of(key)}
        if key.transports
        else {"type": "public-key", "id": key.credential_id}
        for key in passkeys
    ]


def transports_of(passkey: Passkey) -> list[str]:
    """Return how browsers reach a passkey."""
    return passkey.transports.split(",") if passkey.transports else []
