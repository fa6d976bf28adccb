"""sub and sid: the identifiers by which an app knows a user, and the session it was signed in from.

A pairwise ``sub`` (OpenID Connect Core 1.0, section 8.1) and every ``sid`` (Back-Channel Logout 1.0, section 2.1) are
HMACs with a secret of this installation, so that two apps can't compare theirs and no one can compute them. The secret
is created once, stored sealed and never replaced: apps keep a ``sub`` forever, and a session may outlive the master key
it began under. ``flask keys rotate`` reseals it and changes no identifier.
"""

from __future__ import annotations

import hmac
import secrets as random
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite supports this INSERT too

from app import clock
from app.authenticators.keys import SealedColumn
from app.crypto.secrets import base64url
from app.db import has_written
from app.extensions import db, keyring, this_app
from app.oidc.client_uris import host_of_id
from app.oidc.clients import Client
from app.oidc.models import IdentifierSecret

_ROW = "names"
_IN_MEMORY = "latchkey.oidc.naming"
_UNCOMMITTED = "latchkey.oidc.naming_uncommitted"


def subject_for(handle: str, client: Client) -> str:
    """Return the ``sub`` claim: the identifier by which ``client`` knows a user. It never changes.

    :param handle: the account's handle, which is itself the identifier for clients with public subjects
    """
    return handle if client.subject == "public" else _identifier("sub", _sector_of(client), handle)


def _sector_of(client: Client) -> str:
    """Return the sector, whose apps all know a user by the same identifier.

    For a metadata document this is the document's own host. If it were taken from the redirect URIs, one on loopback,
    or another order, would give the app someone else's sector.
    """
    own = host_of_id(client.id) if client.source == "document" else client.sector or client.host
    return own or client.id


def sid_for(session_id: str, client_id: str) -> str:
    """Return the ``sid`` claim, by which a client knows a session: 43 characters, unchanged while the session lives."""
    return _identifier("sid", client_id, session_id)


def _identifier(kind: str, audience: str, of: str) -> str:
    """Return an identifier for an audience. Parts can't run into each other, since none contains a NUL."""
    mac = hmac.digest(_secret(), "\0".join((kind, audience, of)).encode(), "sha256")
    return base64url(mac)


def _secret() -> bytes:
    """Return the secret of this installation, created when it is first needed. Read once per process."""
    cached: bytes | None = this_app().extensions.get(_IN_MEMORY)
    if cached is not None:
        return cached
    sealed = _read_secret() or _create_secret()
    secret = keyring.open(sealed, *_context_of(_ROW))
    if not db.session().info.get(_UNCOMMITTED):
        this_app().extensions[_IN_MEMORY] = secret
    return secret


def _read_secret() -> str | None:
    return db.session.execute(sa.select(IdentifierSecret.secret).where(IdentifierSecret.id == _ROW)).scalar()


def _create_secret() -> str:
    """Create the secret, in a transaction of its own if nothing was written before.

    Otherwise it belongs to the current transaction, which may be rolled back, so the secret is not cached.
    """
    autocommit = not has_written(db.session.connection())
    if not autocommit:
        db.session().info[_UNCOMMITTED] = True
    row = {"id": _ROW, "secret": keyring.seal(random.token_bytes(32), *_context_of(_ROW)), "created_at": clock.now()}
    first = insert(IdentifierSecret).values(row).on_conflict_do_nothing()
    db.session.execute(first, execution_options={"autocommit": autocommit})
    sealed = _read_secret()
    assert sealed is not None
    return sealed


def _context_of(row_id: str) -> tuple[str, ...]:
    return IdentifierSecret.__tablename__, row_id


def _context(row: Any) -> tuple[str, ...]:
    return _context_of(row.id)


SEALED = SealedColumn(IdentifierSecret, _context)
"""Keeps its master key from being removed, and lets rotation reseal it."""
