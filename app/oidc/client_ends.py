"""What ends when an app is disabled, deleted, taken out of the clients file, or known by a document no longer accepted.

None of its tokens is valid from that moment, since each request looks the app up. Here the grants end, and the app is
told of each session, though it may not be registered any more: people are signed in to it. ``offline_access`` rests
until the app is enabled, as it does when a person signs out (OpenID Connect Back-Channel Logout 1.0, section 2.7).
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks this INSERT as well

from app.extensions import changed, db, settings
from app.oidc import client_uris
from app.oidc.clients import Client, client_of, clients_in_memory, clients_read_at, find_client, registered_fields
from app.oidc.grant_ends import BATCH, end_batch_of_client
from app.oidc.models import FileClient, Grant, OAuthClient

MOST_AT_ONCE = 10
"""Batches that end while the administrator waits; the worker ends the rest."""

_c = Grant.__table__.c


def end_of_disabled(client_id: str) -> None:
    """Sign everyone out of an app that was just disabled; where they are many, the worker does the rest."""
    for _ in range(MOST_AT_ONCE):
        if end_batch_of(client_id) < BATCH:
            return


def end_batch_of(client_id: str) -> int:
    """Sign a batch of people out of an app in the database, and have it told; return how many grants that were.

    None while the clients file has one of the same id, for then it is that one's.
    """
    row = None if client_id in clients_in_memory() else db.session.get(OAuthClient, client_id)
    return end_batch_of_client(client_id, _readable(row)) if row is not None else 0


def prune_unusable_clients() -> int:
    """Sign a batch of people out of apps that can't be used any more; return how many grants that were.

    Those are disabled, known by a document that the operator no longer accepts, or gone from the clients file.
    """
    is_signed_in_to = sa.exists().where(_c.client_id == OAuthClient.id, _c.ended_at.is_(None))
    unusable = [OAuthClient.disabled_at]
    if not settings.client_documents or settings.client_document_hosts:
        unusable.append(OAuthClient.fetched_at)  # those that are known by a document
    for at in unusable:
        for row in db.session.scalars(sa.select(OAuthClient).where(at.is_not(None), is_signed_in_to)).all():
            is_accepted = row.disabled_at is None and client_uris.admits(row.id)
            if not is_accepted and (ended := end_batch_of(row.id)):
                return ended
    return 0


def prune_file_clients() -> int:
    """Note the clients of the clients file, and sign a batch of people out of those that it had; return how many.

    A server that has read an older file than another one may still have clients that are gone, and not yet those that
    are new: it leaves them to the other one. Without a file it knows nothing of them.
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
