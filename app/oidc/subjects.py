"""sub and sid: the names by which an app knows a person, and the session that it was signed in from.

Both are of one client alone where that matters: a pairwise ``sub`` (OpenID Connect Core 1.0, section 8.1) and every
``sid`` (Back-Channel Logout 1.0, section 2.1) are HMACs under a secret of this installation, so that two apps can't
compare theirs and nobody can work them out. The secret is made once, stored sealed and never replaced: apps keep a
``sub`` for ever, and a session may live longer than the master key that it began under. ``flask keys rotate`` seals it
anew and changes no name.
"""

from __future__ import annotations

import hmac
import secrets as random
from base64 import urlsafe_b64encode
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks this INSERT as well

from app import clock
from app.authenticators.keys import SealedColumn
from app.db import has_written
from app.extensions import db, keyring, this_app
from app.oidc.client_uris import host_of_id
from app.oidc.clients import Client
from app.oidc.models import NamingSecret

_ROW = "names"
_IN_MEMORY = "latchkey.oidc.naming"
_UNCOMMITTED = "latchkey.oidc.naming_uncommitted"


def subject_for(handle: str, client: Client) -> str:
    """Return what ``client`` knows a person as: the ``sub`` claim. It never changes.

    :param handle: of the account, which is itself the name for a client with public subjects
    """
    return handle if client.subject == "public" else _name("sub", _sector_of(client), handle)


def _sector_of(client: Client) -> str:
    """Return whose apps know a person by one name.

    For a document that is its own host: on loopback, and in another order of the addresses, it would be someone else's.
    """
    own = host_of_id(client.id) if client.source == "document" else client.sector or client.host
    return own or client.id


def sid_for(session_id: str, client_id: str) -> str:
    """Return what a client knows a session as: the ``sid`` claim, 43 characters. It stays while the session lives."""
    return _name("sid", client_id, session_id)


def _name(kind: str, audience: str, of: str) -> str:
    """Return the name of something for an audience. No part can run into the next: none has a NUL in it."""
    mac = hmac.digest(_secret(), "\0".join((kind, audience, of)).encode(), "sha256")
    return urlsafe_b64encode(mac).rstrip(b"=").decode()


def _secret() -> bytes:
    """Return the secret of this installation, made when it is first needed. Read once in a process."""
    kept: bytes | None = this_app().extensions.get(_IN_MEMORY)
    if kept is not None:
        return kept
    sealed = _read() or _make()
    secret = keyring.open(sealed, *_context_of(_ROW))
    if not db.session().info.get(_UNCOMMITTED):
        this_app().extensions[_IN_MEMORY] = secret
    return secret


def _read() -> str | None:
    return db.session.execute(sa.select(NamingSecret.secret).where(NamingSecret.id == _ROW)).scalar()


def _make() -> str:
    """Make the secret, in a transaction of its own where nothing was written before.

    Else it is of this transaction, which may be undone: what it made is then not kept in memory.
    """
    at_once = not has_written(db.session.connection())
    if not at_once:
        db.session().info[_UNCOMMITTED] = True
    row = {"id": _ROW, "secret": keyring.seal(random.token_bytes(32), *_context_of(_ROW)), "created_at": clock.now()}
    first = insert(NamingSecret).values(row).on_conflict_do_nothing()
    db.session.execute(first, execution_options={"at_once": at_once})
    sealed = _read()
    assert sealed is not None
    return sealed


def _context_of(row_id: str) -> tuple[str, ...]:
    return NamingSecret.__tablename__, row_id


def _context(row: Any) -> tuple[str, ...]:
    return _context_of(row.id)


SEALED = SealedColumn(NamingSecret, _context)
"""So that its key is not taken away, and rotation seals it anew."""
