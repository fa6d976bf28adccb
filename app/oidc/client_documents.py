"""Clients identified by the URL of a metadata document: whether it has been read, and whether it is valid.

A request never waits for another server. It schedules a fetch by the worker, and is retried. A valid document stays
fresh for as long as its server says, within bounds. After a failure, the next attempt waits a minute. The worker also
fetches the documents of apps in use once a day.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import insert  # SQLite supports this INSERT too

from app import clock, throttling
from app.db.retention import delete_batch
from app.extensions import db, execute_update, settings
from app.oidc import client_store
from app.oidc.client_metadata import read_document
from app.oidc.client_uris import admits, host_of_id
from app.oidc.clients import clients_in_memory, registered_fields
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

LIMIT = "documents"
RETRY_INTERVAL = timedelta(minutes=1)
"""Minimum interval between attempts to fetch a document after a failure."""

LATE_AFTER = timedelta(seconds=20)
"""If a document hasn't been read by then, there is no worker or its queue is long."""

MAX_DOCUMENTS, MAX_PER_HOST, MAX_WAITING = 1000, 20, 100
"""Maximum number of documents stored in total, stored per host, and waiting for a worker."""

MAX_INVALID_PER_HOST = 100
"""Maximum number of recently tried URLs per host without a valid document.

The rate limit per network address is not enough, since requests can come from many of them.
"""

FAILURE_RETENTION = timedelta(minutes=10)
"""How long a document that was never valid is remembered."""

RETRY_AFTER = 2
"""Seconds after which a program may retry."""

State = Literal["ready", "checking", "late", "failed", "full"]

_table = ClientDocument.__table__
_c = _table.c


@dataclass(frozen=True, slots=True)
class FetchStatus:
    """State of reading a document.

    :ivar fault: what is wrong with it, in English; "" unless the state is ``failed``
    """

    state: State
    fault: str = ""


READY = FetchStatus("ready")


def is_document(client_id: str) -> bool:
    """Return whether a client is, or may become, one that is described by its document."""
    return admits(client_id) and client_id not in clients_in_memory()


def fetch_status(client_id: str, since: datetime, address: str) -> FetchStatus:
    """Return the state of a client's document, and schedule a fetch if needed. At most five statements.

    :param since: when the app made its request; a document that was fresh then is good enough
    :param address: network address of the requester
    :raises Rejected: ``too_many_requests`` if that address has scheduled too many fetches
    """
    found, now = db.session.get(ClientDocument, client_id, populate_existing=True), clock.now()
    if found is None or found.fresh_until is None:
        row = db.session.get(OAuthClient, client_id)
        if row is not None and row.source != "document":
            return READY  # added by an operator
    if found is None:
        return _schedule_fetch(client_id, address)
    if found.fresh_until is not None and found.fresh_until > since:
        return READY
    if found.fetched_at is None or found.asked_at > found.fetched_at:
        return FetchStatus("late" if found.asked_at < now - LATE_AFTER else "checking")
    if found.fault and found.fetched_at > now - RETRY_INTERVAL:
        return FetchStatus("failed", found.fault)
    return _schedule_fetch(client_id, address, was_valid=found.fresh_until is not None)


def require_ready(client_id: str, address: str) -> None:
    """Reject a program's request until the document of its client has been read.

    :raises OAuthError: ``temporarily_unavailable`` (503), or ``invalid_client`` with the reason (401)
    """
    if not is_document(client_id):
        return
    status = fetch_status(client_id, clock.now(), address)
    if status.state == "failed":
        raise OAuthError("invalid_client", f"The metadata document is refused: {status.fault}", status=401)
    if status.state != "ready":
        text = "The metadata document is being read. Send the same request again."
        raise OAuthError("temporarily_unavailable", text, status=503, retry_after=RETRY_AFTER)


def _schedule_fetch(client_id: str, address: str, *, was_valid: bool = False) -> FetchStatus:
    """Schedule a fetch by a worker, in a transaction of its own.

    Counts toward the rate limit, since the requester chooses the URL.

    :param was_valid: whether the document was valid before; it is then fetched even if the limits are reached
    """
    throttling.take(LIMIT, address)
    if not was_valid and _is_full(client_id):
        return FetchStatus("full")
    now = clock.now()
    row = insert(ClientDocument).values(
        client_id=client_id, host=host_of_id(client_id), asked_at=now, due_at=now, fault=""
    )
    ordered = row.on_conflict_do_update(index_elements=[_c.client_id], set_={"asked_at": now, "due_at": now})
    execute_update(ordered.execution_options(autocommit=True))  # even if the response only tells the caller to retry
    return FetchStatus("checking")


def _is_full(client_id: str) -> bool:
    """Return whether another document would exceed the limits. One statement.

    Valid documents count against their own host. Anyone can name URLs that lead nowhere, on any host, so those must not
    use up the quota of valid ones.
    """
    now, on_host = clock.now(), _c.host == host_of_id(client_id)
    is_valid = _c.fresh_until.is_not(None)
    is_tried = sa.and_(_c.fresh_until.is_(None), _c.asked_at > now - FAILURE_RETENTION)
    counted = sa.select(
        _count_where(sa.or_(is_valid, is_tried)),
        _count_where(sa.and_(on_host, is_valid)),
        _count_where(sa.and_(on_host, is_tried)),
        _count_where(_c.due_at <= now),
    ).where(_c.client_id != client_id)
    most = (MAX_DOCUMENTS, MAX_PER_HOST, MAX_INVALID_PER_HOST, MAX_WAITING)
    return any(found >= bound for found, bound in zip(db.session.execute(counted).one(), most, strict=True))


def _count_where(which: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(sa.case((which, 1), else_=0)), 0)


# --- fetches by the worker ----------------------------------------------------------------------


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
    execute_update(sa.update(OAuthClient).where(OAuthClient.id == client_id).values(fetched_at=clock.now()))
    return ""


def _update_document(client_id: str, **values: object) -> None:
    execute_update(sa.update(ClientDocument).where(ClientDocument.client_id == client_id).values(**values))


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
        execute_update(sa.delete(ClientDocument).where(ClientDocument.client_id == client_id))
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
