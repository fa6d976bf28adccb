"""Clients that can't be used now: disabled, deleted, gone from the clients file, or with a document no longer accepted.

Users may still be signed in to them, so they are notified when that ends.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from app.extensions import db
from app.oidc.clients import Client
from app.oidc.models import ClientEnd, FileClient, OAuthClient

_KEPT: tuple[tuple[Any, Any, Any, Any], ...] = (
    (FileClient.id, sa.literal("file"), FileClient.registered, FileClient.read_at),
    (ClientEnd.client_id, ClientEnd.source, ClientEnd.registered, ClientEnd.until),
    (OAuthClient.id, OAuthClient.source, OAuthClient.registered, OAuthClient.updated_at),
)
"""Where registrations are kept: id, source, fields and time. A later place counts more than an earlier one."""


def find_former_clients(client_ids: Collection[str]) -> dict[str, Client]:
    """Return these clients as they were last registered, by id, without those that are unknown. One statement."""
    places = (
        sa.select(sa.literal(place).label("place"), name, source, registered, at.label("at")).where(
            name.in_(client_ids)
        )
        for place, (name, source, registered, at) in enumerate(_KEPT)
    )
    kept = sa.union_all(*places).order_by("place", "at")
    clients = (former_client(name, source, registered) for _, name, source, registered, _ in db.session.execute(kept))
    return {client.id: client for client in clients if client is not None}


def former_client(client_id: str, source: str, registered: Mapping[str, Any]) -> Client | None:
    """Return the client with this stored registration; None if it is no longer valid."""
    fields = {name: value for name, value in registered.items() if name in Client.model_fields}
    try:
        return Client(**fields, id=client_id, source=source)
    except ValidationError:
        return None
