"""Ending sign-ins to an app that is disabled, deleted or gone from the clients file, or whose document is not accepted.

Its tokens stop working immediately, since every request looks up the client. This module ends the grants and notifies
the app of each session, even if the app is no longer registered, because users are still signed in to it. Grants with
``offline_access`` are not revoked, just as when a user signs out (OpenID Connect Back-Channel Logout 1.0, section 2.7).
They work again once the app is enabled.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.dialects.postgresql import insert  # SQLite supports this INSERT too

from app.extensions import changed, db, settings
from app.oidc import client_uris
from app.oidc.clients import Client, client_of, clients_in_memory, clients_read_at, find_client, registered_fields
from app.oidc.grant_ends import BATCH, end_batch_of_client
from app.oidc.models import FileClient, Grant, OAuthClient

MOST_AT_ONCE = 10
"""Maximum number of batches to end while the administrator waits. The worker ends the rest."""

_c = Grant.__table__.c


def end_of_disabled(client_id: str) -> None:
    """Sign everyone out of an app that was just disabled. If there are many grants, the worker does the rest."""
    for _ in range(MOST_AT_ONCE):
        if end_batch_of(client_id) < BATCH:
            return


def end_batch_of(client_id: str) -> int:
    """Sign a batch of users out of an app in the database and notify it; return how many grants were ended.

    Does nothing while the clients file has a client with the same id, since the grants belong to that client.
    """
    row = None if client_id in clients_in_memory() else db.session.get(OAuthClient, client_id)
    return end_batch_of_client(client_id, _readable(row)) if row is not None else 0


def prune_unusable_clients() -> int:
    """Sign a batch of users out of apps that can no longer be used; return how many grants were ended.

    Those are disabled apps, and apps with a metadata document that the operator no longer accepts.
    """
    is_signed_in_to = sa.exists().where(_c.client_id == OAuthClient.id, _c.ended_at.is_(None))
    unusable = [OAuthClient.disabled_at]
    if not settings.client_documents or settings.client_document_hosts:
        unusable.append(OAuthClient.fetched_at)  # set for clients with a metadata document
    for at in unusable:
        for row in db.session.scalars(sa.select(OAuthClient).where(at.is_not(None), is_signed_in_to)).all():
            is_accepted = row.disabled_at is None and client_uris.admits(row.id)
            if not is_accepted and (ended := end_batch_of(row.id)):
                return ended
    return 0


def prune_file_clients() -> int:
    """Record the clients of the clients file, and sign a batch of users out of those no longer in it; return how many.

    A server that has read an older file than another one may still have removed clients, and lack new ones, so it
    leaves both to the server with the newer file. Does nothing without a clients file.
    """
    if not settings.clients_file:
        return 0
    known, read_at = clients_in_memory(), clients_read_at()
    noted = {row.id: row for row in db.session.scalars(sa.select(FileClient)) if row.read_at >= read_at}
    _note([client for client in known.values() if client.id not in noted])
    older = sa.select(FileClient).where(FileClient.read_at < read_at)
    for row in db.session.scalars(older).all():
        if find_client(row.id) is None and (ended := end_batch_of_client(row.id, _of_file(row))):
            return ended
    has_grants = sa.exists().where(_c.client_id == FileClient.id)
    changed(sa.delete(FileClient).where(FileClient.read_at < read_at, sa.not_(has_grants)))
    return 0


def _note(clients: Sequence[Client]) -> None:
    if not clients:
        return
    values = [{"id": each.id, "registered": registered_fields(each), "read_at": clients_read_at()} for each in clients]
    row = insert(FileClient)
    newer = {"registered": row.excluded.registered, "read_at": row.excluded.read_at}
    db.session.execute(row.on_conflict_do_update(index_elements=["id"], set_=newer), values)


def _readable(row: OAuthClient) -> Client | None:
    try:
        return client_of(row)
    except ValidationError:
        return None


def _of_file(row: FileClient) -> Client | None:
    fields = {name: value for name, value in row.registered.items() if name in Client.model_fields}
    try:
        return Client(**fields, id=row.id, source="file")
    except ValidationError:
        return None
