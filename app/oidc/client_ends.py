"""Ending sign-ins to an app that is disabled, deleted or gone from the clients file, or whose document is not accepted.

Its tokens stop working immediately, since every request looks up the client. A worker then ends the grants in batches
and notifies the app of each session, even if the app is no longer registered, because users are still signed in to it.
Grants with ``offline_access`` are not revoked, just as when a user signs out (OpenID Connect Back-Channel Logout 1.0,
section 2.7). They work again once the app is enabled.

Disabling or deleting an app only inserts a ``ClientEnd`` row, so the request takes the same time however many grants
there are. While that row exists, every statement that accepts a token rejects the older grants. So nothing comes back
if the app is enabled again, or another app with the same id is added, before the worker has finished. The same is true
of users whom a change of the app's groups shut out, if the next one allows them again.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.dialects.postgresql import insert  # SQLite supports this INSERT too

from app import clock
from app.extensions import db, execute_update, settings
from app.oidc import client_uris
from app.oidc.clients import Client, client_of, clients_in_memory, clients_read_at, find_client, registered_fields
from app.oidc.former_clients import former_client
from app.oidc.grant_ends import BATCH, end_batch_of_client, end_batch_of_lost_grants
from app.oidc.models import (
    AuthorizationRequest,
    ClientEnd,
    Consent,
    DeviceRequest,
    FileClient,
    Grant,
    OAuthClient,
)
from app.outbox.leases import claim_rows, claiming

MODELS_WITHOUT_FK: tuple[tuple[Any, Any], ...] = (
    (Grant, Grant.created_at),
    (Consent, Consent.updated_at),
    (AuthorizationRequest, AuthorizationRequest.created_at),
    (DeviceRequest, DeviceRequest.created_at),
)
"""Models that refer to a client without a foreign key, each with the column that says when the row was granted."""

_c = Grant.__table__.c
_e = ClientEnd.__table__.c
_CLAIM = claiming(_e.id, _e.due_at)
_IS_DUE = sa.select(sa.exists().where(_e.due_at <= sa.bindparam("now")))


def schedule(kind: str, client_id: str, source: str, registered: Mapping[str, Any]) -> None:
    """Schedule the end of everything that a client has been granted until now. One INSERT.

    :param kind: as in ``ClientEnd.kind``
    :param registered: its current registration
    """
    now = clock.now()
    row = {"kind": kind, "client_id": client_id, "source": source, "registered": registered}
    db.session.execute(sa.insert(ClientEnd).values(row | {"until": now, "due_at": now}))


def end_due(stop: threading.Event) -> bool:
    """End a batch of grants for one due ``ClientEnd`` row; return whether there may be more.

    The caller commits the batch. If it fails, the row is due again when its lease expires.
    """
    if stop.is_set() or not db.session.scalar(_IS_DUE, {"now": clock.now()}):
        return False
    claimed = claim_rows(_CLAIM)
    for row in claimed:
        more = _end_batch(row)
        this = ClientEnd.id == row.id
        execute_update(
            sa.update(ClientEnd).where(this).values(due_at=clock.now()) if more else sa.delete(ClientEnd).where(this)
        )
    return bool(claimed)


def _end_batch(row: Any) -> bool:
    """End a batch of grants for this ``ClientEnd`` row; return whether there may be more."""
    client = former_client(row.client_id, row.source, row.registered)
    if row.kind == "narrowed":
        return client is not None and end_batch_of_lost_grants(client, row.until) >= BATCH
    if end_batch_of_client(row.client_id, client, row.until) >= BATCH:
        return True
    return row.kind == "deleted" and any(_delete_batch(model, at, row) for model, at in MODELS_WITHOUT_FK)


def _delete_batch(model: Any, at: Any, row: Any) -> bool:
    """Delete a batch of a deleted client's rows of one model; return whether there may be more."""
    key, *_ = model.__table__.primary_key.columns
    which = (model.client_id == row.client_id, at <= row.until)
    return execute_update(sa.delete(model).where(*which, key.in_(sa.select(key).where(*which).limit(BATCH)))) == BATCH


def end_batch_of(client_id: str) -> int:
    """Sign a batch of users out of an app in the database and notify it; return how many grants were ended.

    Does nothing while the clients file has a client with the same id, since the grants belong to that client.
    """
    row = None if client_id in clients_in_memory() else db.session.get(OAuthClient, client_id)
    return end_batch_of_client(client_id, _client_or_none(row), clock.now()) if row is not None else 0


def prune_unusable_clients() -> int:
    """Sign a batch of users out of apps that can no longer be used; return how many grants were ended.

    Those are apps with a metadata document that the operator no longer accepts, and disabled apps: a request that
    started before the app was disabled may have added a grant afterwards.
    """
    is_signed_in_to = sa.exists().where(_c.client_id == OAuthClient.id, _c.ended_at.is_(None))
    has_no_pending_end = sa.not_(
        sa.exists().where(_e.client_id == OAuthClient.id)
    )  # end_due handles these, maybe in another thread
    unusable = [OAuthClient.disabled_at]
    if not settings.client_documents or settings.client_document_hosts:
        unusable.append(OAuthClient.fetched_at)  # set for clients with a metadata document
    for at in unusable:
        for row in db.session.scalars(
            sa.select(OAuthClient).where(at.is_not(None), is_signed_in_to, has_no_pending_end)
        ).all():
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
    recorded = {row.id: row for row in db.session.scalars(sa.select(FileClient)) if row.read_at >= read_at}
    _record_file_clients([client for client in known.values() if client.id not in recorded])
    older = sa.select(FileClient).where(FileClient.read_at < read_at)
    for row in db.session.scalars(older).all():
        client = former_client(row.id, "file", row.registered)
        if find_client(row.id) is None and (ended := end_batch_of_client(row.id, client, clock.now())):
            return ended
    has_grants = sa.exists().where(_c.client_id == FileClient.id)
    execute_update(sa.delete(FileClient).where(FileClient.read_at < read_at, sa.not_(has_grants)))
    return 0


def _record_file_clients(clients: Sequence[Client]) -> None:
    if not clients:
        return
    values = [{"id": each.id, "registered": registered_fields(each), "read_at": clients_read_at()} for each in clients]
    row = insert(FileClient)
    newer = {"registered": row.excluded.registered, "read_at": row.excluded.read_at}
    db.session.execute(row.on_conflict_do_update(index_elements=["id"], set_=newer), values)


def _client_or_none(row: OAuthClient) -> Client | None:
    try:
        return client_of(row)
    except ValidationError:
        return None
