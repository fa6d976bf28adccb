"""Clients identified by the URL of a metadata document: whether it has been read, and whether it is valid.

A request never waits for another server. It schedules a fetch by the worker (``document_fetches``), and is retried. A
valid document stays fresh for as long as its server says, within bounds. After a failure, the next attempt waits a
minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite supports this INSERT too

from app import clock, throttling
from app.extensions import changed, db
from app.oidc.client_uris import admits, host_of_id
from app.oidc.clients import clients_in_memory
from app.oidc.errors import OAuthError
from app.oidc.models import ClientDocument, OAuthClient

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
    changed(ordered.execution_options(autocommit=True))  # even if the response only tells the caller to retry
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
