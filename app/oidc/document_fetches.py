"""Fetching of metadata documents by the worker: those a user is waiting for, and once a day those of apps in use."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import sqlalchemy as sa
import structlog

from app import clock
from app.db.retention import delete_batch
from app.extensions import changed, db, settings
from app.oidc import client_store
from app.oidc.client_documents import FAILURE_RETENTION
from app.oidc.client_metadata import read_document
from app.oidc.client_uris import admits
from app.oidc.clients import registered_fields
from app.oidc.errors import OAuthError
from app.oidc.models import MAX_FAULT_LENGTH, ClientDocument, Consent, Grant, OAuthClient
from app.outbox.channels import Interrupted
from app.outbox.channels.guarded_http import (
    REASONS,
    Fetched,
    NotFetched,
    fetch_json,
    is_public,
    is_public_or_loopback,
)
from app.outbox.leases import claim_rows, claiming

log = structlog.get_logger()

BY = "document"
MAX_BYTES = 5 * 1024
TIMEOUT = 3.0
"""Total timeout in seconds: name resolution, connecting, and reading."""

BATCH = 8
NOT_ALLOWED = "The host of the document is not accepted here."
"""Result for a document that was scheduled before the settings changed."""

DEFAULT_FRESHNESS = timedelta(hours=1)
"""How long a document is fresh if its server doesn't say. The bounds for what servers say are below."""

MIN_FRESHNESS, MAX_FRESHNESS = timedelta(minutes=5), timedelta(days=1)
DAILY = timedelta(days=1)
UNUSED_FOR = timedelta(days=30)
NEVER_ALLOWED_FOR = timedelta(days=1)
"""How long an app is kept that no one has consented to, since anyone can publish any number of them."""

_table = ClientDocument.__table__
_c = _table.c
_CLAIM = claiming(_c.client_id, _c.due_at, most=BATCH)
_IS_DUE = sa.select(sa.exists().where(_c.due_at <= sa.bindparam("now")))


def fetch_due(stop: threading.Event) -> bool:
    """Fetch the documents that are due, several concurrently; return whether there may be more."""
    if not settings.client_documents or stop.is_set() or not db.session.scalar(_IS_DUE, {"now": clock.now()}):
        return False
    claimed = [row.client_id for row in claim_rows(_CLAIM)]
    db.session.close()  # don't hold a connection while other servers respond
    found = dict.fromkeys(claimed, NOT_ALLOWED) | _fetch_all([each for each in claimed if admits(each)])
    for client_id, answer in found.items():
        _record_result(client_id, answer)
    return len(claimed) == BATCH


def _fetch_all(ids: list[str]) -> dict[str, Fetched | str | None]:
    """Fetch these documents concurrently and return the results."""
    if not ids:
        return {}
    allows = is_public_or_loopback if settings.client_documents_loopback else is_public
    with ThreadPoolExecutor(len(ids)) as pool:
        return dict(zip(ids, pool.map(lambda client_id: _fetch(client_id, allows), ids), strict=True))


def _fetch(client_id: str, allows: Callable[[str], bool]) -> Fetched | str | None:
    """Return the document at this URL, or what is wrong; None if the worker is stopping."""
    try:
        return fetch_json(client_id, most=MAX_BYTES, within=TIMEOUT, allows=allows)
    except NotFetched as fault:
        log.info("client.document_not_fetched", client=client_id, reason=fault.reason)
        return f"The document can't be read: {REASONS[fault.reason]}."
    except Interrupted:
        return None


def _record_result(client_id: str, answer: Fetched | str | None) -> None:
    """Record the result of fetching a document. After a failure, the last valid document stays in effect."""
    now = clock.now()
    if answer is None:
        _update_document(client_id, due_at=now)
    elif fault := answer if isinstance(answer, str) else _store_client(client_id, answer):
        log.info("client.document_refused", client=client_id, reason=fault)
        _update_document(client_id, fault=fault[:MAX_FAULT_LENGTH], fetched_at=now, due_at=now + DAILY)
    elif isinstance(answer, Fetched):
        _update_document(
            client_id, fault="", fetched_at=now, due_at=now + DAILY, fresh_until=now + _freshness(answer.max_age)
        )


def _freshness(max_age: int | None) -> timedelta:
    lifetime = DEFAULT_FRESHNESS if max_age is None else timedelta(seconds=max_age)
    return min(max(lifetime, MIN_FRESHNESS), MAX_FRESHNESS)


def _store_client(client_id: str, answer: Fetched) -> str:
    """Store the client that a document describes, or return what is wrong. An operator's client stays as it is."""
    try:
        client = read_document(client_id, answer.body)
    except OAuthError as error:
        return error.description
    row = client_store.get_row(client_id)
    if row is None:
        client_store.create(client, by=BY)
    elif row.source == "document" and row.registered != registered_fields(client):
        client_store.change(client, by=BY)
    changed(sa.update(OAuthClient).where(OAuthClient.id == client_id).values(fetched_at=clock.now()))
    return ""


def _update_document(client_id: str, **values: object) -> None:
    changed(sa.update(ClientDocument).where(ClientDocument.client_id == client_id).values(**values))


# --- unused apps --------------------------------------------------------------------------------

_is_used = sa.exists().where(Grant.__table__.c.client_id == _c.client_id)
_was_allowed = sa.exists().where(Consent.__table__.c.client_id == _c.client_id)
_is_disabled = sa.exists().where(OAuthClient.id == _c.client_id, OAuthClient.disabled_at.is_not(None))
"""Disabled apps are kept, because an app that is deleted would be enabled if it came back."""

_is_unused = sa.and_(
    sa.or_(
        _c.asked_at < sa.bindparam("long_ago"),
        sa.and_(_c.asked_at < sa.bindparam("a_day_ago"), sa.not_(_was_allowed)),
    ),
    sa.not_(_is_used),
    sa.not_(_is_disabled),
)
_UNUSED = sa.select(_c.client_id).where(_is_unused).limit(100)


def prune_unused_apps() -> int:
    """Delete a batch of apps that haven't been used for a long time, with their documents; return how many."""
    now = clock.now()
    ids = db.session.scalars(_UNUSED, {"long_ago": now - UNUSED_FOR, "a_day_ago": now - NEVER_ALLOWED_FOR}).all()
    for client_id in ids:
        row = client_store.get_row(client_id)
        if row is not None and row.source == "document":
            client_store.delete(client_id, by=BY)
        changed(sa.delete(ClientDocument).where(ClientDocument.client_id == client_id))
    return len(ids)


def prune_documents() -> int:
    """Delete a batch of documents that were never valid; return how many."""
    now = clock.now()
    never_valid = sa.or_(_c.fetched_at < now - FAILURE_RETENTION, _c.asked_at < now - DAILY)
    return delete_batch(
        db.session,
        ClientDocument,
        sa.and_(_c.asked_at < now - FAILURE_RETENTION, _c.fresh_until.is_(None), never_valid),
    )
