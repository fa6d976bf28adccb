"""Clients in the database: create, change, describe and delete them, and rotate their secrets.

Each change is a conditional statement and an audit event. The caller commits.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import UTC, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite supports this INSERT too

from app import clock
from app.audit import record
from app.crypto import secrets
from app.extensions import db, execute_update, settings
from app.oidc import client_ends
from app.oidc.client_secrets import INITIAL_PREFIX, new_secret
from app.oidc.client_uris import is_plain_http
from app.oidc.clients import DEVICE_CODE, REGISTERED, Client, client_of, clients_in_memory, registered_fields
from app.oidc.models import ClientDocument, OAuthClient, OAuthClientOrigin, OAuthClientResource, RegistrationToken

BATCH = 500
MAX_TOKEN_NAME_LENGTH = 64
"""Maximum length of an initial access token's name."""

_table = OAuthClient.__table__
_c = _table.c


def get_row(client_id: str) -> OAuthClient | None:
    """Return a client's row, disabled or not."""
    return db.session.get(OAuthClient, client_id)


def rows() -> Iterator[OAuthClient]:
    """Yield the rows of all clients, ordered by id. One statement per batch."""
    last = ""
    while True:
        found = sa.select(OAuthClient).where(OAuthClient.id > last).order_by(OAuthClient.id).limit(BATCH)
        batch = list(db.session.scalars(found))
        yield from batch
        if len(batch) < BATCH:
            return
        last = batch[-1].id
        db.session.expunge_all()


def create(client: Client, *, by: str, secret: str = "", registration_token: str = "") -> bool:
    """Store a client; return False if the id is taken, leaving that client unchanged.

    :param by: who does it, for the event: ``operator``, ``registration`` or ``document``
    :param secret: "" for a client without one
    :param registration_token: token that lets the client manage itself; "" for none
    """
    row = {
        "id": client.id,
        "source": client.source,
        "registered": registered_fields(client),
        "secret_digest": _digest(secret),
        "registration_digest": _digest(registration_token),
        "created_at": clock.now(),
        "updated_at": clock.now(),
    }
    inserted = insert(_table).values(row).on_conflict_do_nothing().returning(_c.id)
    if db.session.scalar(inserted) is None:
        return False
    _store_lookup_rows(client, replace=False)
    record("client.created", client=client.id, by=by)
    return True


def change(client: Client, *, by: str, secret: str | None = None) -> bool:
    """Replace a client's registration; return False if there is no client with this id.

    :param secret: replaces all of its secrets; "" for none, None to leave them as they are
    """
    values: dict[str, Any] = {"registered": registered_fields(client), "updated_at": clock.now()}
    if secret is not None:
        values |= {"secret_digest": _digest(secret), "old_secret_digest": None, "old_secret_until": None}
    if execute_update(sa.update(_table).where(_c.id == client.id).values(values)) != 1:
        return False
    _store_lookup_rows(client, replace=True)
    if client.groups:
        client_ends.schedule("narrowed", client.id, client.source, values["registered"])
    record("client.changed", client=client.id, by=by)
    return True


def rotate_secret(client_id: str, overlap: timedelta, *, by: str) -> str | None:
    """Give a client a new secret and return it; None if it has no secret or doesn't exist.

    :param overlap: how long the current secret stays valid too; one replaced earlier stops working
    """
    secret, now = new_secret(), clock.now()
    old_secret = {"old_secret_digest": _c.secret_digest if overlap else None, "old_secret_until": now + overlap}
    rotated = sa.update(_table).where(_c.id == client_id, _c.secret_digest.is_not(None))
    if execute_update(rotated.values(old_secret | {"secret_digest": _digest(secret), "updated_at": now})) != 1:
        return None
    record("client.secret_rotated", client=client_id, overlap=int(overlap.total_seconds()), by=by)
    return secret


def set_disabled(client_id: str, *, disabled: bool, by: str) -> bool:
    """Disable or enable a client; return False if it already is, or doesn't exist.

    While it is disabled, no one can sign in to it and none of its tokens are valid. A worker signs out the users who
    are signed in to it, even if it is enabled again before the worker has finished.
    """
    switched = sa.update(_table).where(
        _c.id == client_id, _c.disabled_at.is_(None) if disabled else _c.disabled_at.is_not(None)
    )
    values = {"disabled_at": clock.now() if disabled else None, "updated_at": clock.now()}
    row = db.session.execute(switched.values(values).returning(_c.source, _c.registered)).first()
    if row is None:
        return False
    if disabled:
        client_ends.schedule("disabled", client_id, row.source, row.registered)
    record("client.disabled" if disabled else "client.enabled", client=client_id, by=by)
    return True


def delete(client_id: str, *, by: str) -> bool:
    """Delete a client; return False if it doesn't exist. A worker ends and deletes everything it was granted.

    A new client with the same id starts from scratch immediately: users are asked again, and no token of the old one is
    valid there. Users who are signed in to the old one are signed out there.
    """
    deleted = sa.delete(_table).where(_c.id == client_id).returning(_c.source, _c.registered)
    row = db.session.execute(deleted).first()
    if row is None:
        return False
    execute_update(sa.delete(ClientDocument).where(ClientDocument.client_id == client_id))
    client_ends.schedule("deleted", client_id, row.source, row.registered)
    record("client.deleted", client=client_id, by=by)
    return True


def issue_registration_token(name: str, uses: int, lifetime: timedelta, *, by: str) -> str:
    """Return a token that can register ``uses`` clients (RFC 7591, section 3). Only its digest is stored."""
    token = secrets.prefixed_token(INITIAL_PREFIX)
    row = {"digest": secrets.digest(token), "name": name, "uses_left": uses, "expires_at": clock.now() + lifetime}
    db.session.execute(sa.insert(RegistrationToken).values(row | {"created_at": clock.now()}))
    record("client.registration_token_issued", token=name, uses=uses, by=by)
    return token


def app_settings(client: Client, secret: str = "") -> dict[str, Any]:
    """Return the settings an app needs to sign users in here."""
    origin = settings.public_url
    return {
        "discovery_url": f"{origin}/.well-known/openid-configuration",
        "issuer": origin,
        "client_id": client.id,
        **({"client_secret": secret} if secret else {}),
        "redirect_uris": list(client.redirect_uris),
        "scopes": list(client.scopes),
        **({"device_url": f"{origin}/oauth/device"} if DEVICE_CODE in client.grant_types else {}),
    }


def describe(row: OAuthClient) -> dict[str, Any]:
    """Return all fields of a client in the database, and its state."""
    client = client_of(row)
    replaced = bool(row.old_secret_digest) and len(client.secret_digests) > 1
    return fields_of(client) | {
        "state": state_of(row),
        "created_at": row.created_at.astimezone(UTC),
        "updated_at": row.updated_at.astimezone(UTC),
        "old_secret_until": row.old_secret_until.astimezone(UTC) if replaced and row.old_secret_until else None,
    }


def fields_of(client: Client) -> dict[str, Any]:
    """Return all fields of a client except its secrets."""
    facts = client.model_dump(mode="json")
    return {"id": client.id} | {name: facts[name] for name in Client.model_fields if name in REGISTERED} | {
        "source": client.source,
        "secrets": len(client.secret_digests),
    }  # fmt: skip


def state_of(row: OAuthClient) -> str:
    """Return ``enabled``, ``disabled``, or ``hidden`` if the clients file has a client with the same id."""
    if row.id in clients_in_memory():
        return "hidden"
    return "enabled" if row.disabled_at is None else "disabled"


def id_for(name: str) -> str:
    """Return a client id derived from an app's name; "" if nothing of it is left."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def warnings_for(client: Client, groups: Collection[str]) -> list[str]:
    """Return warnings about settings that are allowed but may not be intended."""
    found = [f"there is no group {name}: flask groups create {name}" for name in client.groups if name not in groups]
    addresses = (*client.redirect_uris, *client.post_logout_redirect_uris, client.backchannel_logout_uri)
    found += [f"{uri} can be read on its way: use https://" for uri in addresses if is_plain_http(uri)]
    return found


def _store_lookup_rows(client: Client, *, replace: bool) -> None:
    """Store a client's origins, and what it serves for any app, in tables that an index lookup can search."""
    open_to_all = client.serves if client.serves_all else ()
    for model, column, values in (
        (OAuthClientOrigin, "origin", client.origins),
        (OAuthClientResource, "resource", open_to_all),
    ):
        if replace:
            execute_update(sa.delete(model).where(model.client_id == client.id))
        if found := [{column: value, "client_id": client.id} for value in dict.fromkeys(values)]:
            db.session.execute(sa.insert(model.__table__), found)


def _digest(secret: str) -> str | None:
    return secrets.digest(secret) if secret else None
