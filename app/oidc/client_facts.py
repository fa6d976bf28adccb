"""What operators read of a client, on the command line and in the console: its fields, and what its app needs."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC
from typing import Any

from app.extensions import settings
from app.oidc.client_store import REGISTERED
from app.oidc.client_uris import is_plain_http
from app.oidc.clients import DEVICE_CODE, Client, client_of, clients_in_memory
from app.oidc.models import OAuthClient


def recipe(client: Client, secret: str = "") -> dict[str, Any]:
    """Return what an app is given to sign people in here."""
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


def described(row: OAuthClient) -> dict[str, Any]:
    """Return every field of a client in the database, and its state."""
    client = client_of(row)
    replaced = bool(row.old_secret_digest) and len(client.secret_digests) > 1
    return fields_of(client) | {
        "state": state_of(row),
        "created_at": row.created_at.astimezone(UTC),
        "updated_at": row.updated_at.astimezone(UTC),
        "old_secret_until": row.old_secret_until.astimezone(UTC) if replaced and row.old_secret_until else None,
    }


def fields_of(client: Client) -> dict[str, Any]:
    """Return every field of a client but its secrets."""
    facts = client.model_dump(mode="json")
    return {"id": client.id} | {name: facts[name] for name in Client.model_fields if name in REGISTERED} | {
        "source": client.source,
        "secrets": len(client.secret_digests),
    }  # fmt: skip


def state_of(row: OAuthClient) -> str:
    """Return ``enabled``, ``disabled``, or ``hidden`` where the clients file has one of the same id."""
    if row.id in clients_in_memory():
        return "hidden"
    return "enabled" if row.disabled_at is None else "disabled"


def id_for(name: str) -> str:
    """Return a client id made of an app's name; "" where nothing of it is left."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def notes_on(client: Client, groups: Collection[str]) -> list[str]:
    """Return what is allowed, and may still not be meant."""
    found = [f"there is no group {name}: flask groups create {name}" for name in client.groups if name not in groups]
    addresses = (*client.redirect_uris, *client.post_logout_redirect_uris, client.backchannel_logout_uri)
    found += [f"{uri} can be read on its way: use https://" for uri in addresses if is_plain_http(uri)]
    return found
