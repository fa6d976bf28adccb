"""Apps that are known by a metadata document at their own address: has it been read, and is it any good?

A request never waits for another server. It orders that a worker reads the document (``document_fetches``), and comes
back. A good answer counts for as long as its server says, within bounds; after a bad one the next try waits a minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks this INSERT as well

from app import clock, throttling
from app.extensions import changed, db
from app.oidc.client_uris import admits, host_of_id
from app.oidc.clients import clients_in_memory
from app.oidc.errors import OAuthError
from app.oidc.models import ClientDocument, OAuthClient

LIMIT = "documents"
AGAIN_AFTER = timedelta(minutes=1)
"""After a bad answer: so often at most one address is asked."""

LATE_AFTER = timedelta(seconds=20)
"""A document that was not read by then has no worker, or a long queue before it."""

MOST, MOST_OF_HOST, MOST_WAITING = 1000, 20, 100
"""Documents that are remembered in all and of one host, and that wait for a worker."""

MOST_NOT_GOOD_OF_HOST = 100
"""Addresses on one host that were tried lately and led to no good document: more than one network address can order."""

FAILED_FOR = timedelta(minutes=10)
"""How long a document that was never good is remembered."""

RETRY_AFTER = 2
"""Seconds after which a program may ask again."""

State = Literal["ready", "checking", "late", "failed", "full"]

_table = ClientDocument.__table__
_c = _table.c


@dataclass(frozen=True, slots=True)
class Reading:
    """How far reading a document is.

    :ivar fault: what is wrong with it, in English; "" unless the state is ``failed``
    """

    state: State
    fault: str = ""


READY = Reading("ready")


def is_document(client_id: str) -> bool:
    """Whether a client is one that its document describes, or may become one."""
    return admits(client_id) and client_id not in clients_in_memory()


def reading_of(client_id: str, since: datetime, address: str) -> Reading:
    """Return how far reading the document of a client is; have it read where it isn't. At most five statements.

    :param since: when the app asked; a document that was fresh then is good enough
    :param address: network address of who asks
    :raises Rejected: ``too_many_requests`` when too many documents were to be read for that address
    """
    found, now = db.session.get(ClientDocument, client_id, populate_existing=True), clock.now()
    if found is None or found.fresh_until is None:
        row = db.session.get(OAuthClient, client_id)
        if row is not None and row.source != "document":
            return READY  # an operator has added it
    if found is None:
        return _order(client_id, address)
    if found.fresh_until is not None and found.fresh_until > since:
        return READY
    if found.fetched_at is None or found.asked_at > found.fetched_at:
        return Reading("late" if found.asked_at < now - LATE_AFTER else "checking")
    if found.fault and found.fetched_at > now - AGAIN_AFTER:
        return Reading("failed", found.fault)
    return _order(client_id, address, was_good=found.fresh_until is not None)


def require(client_id: str, address: str) -> None:
    """Refuse a program's request until the document of its client is read.

    :raises OAuthError: ``temporarily_unavailable`` (503), or ``invalid_client`` with what is wrong (401)
    """
    if not is_document(client_id):
        return
    reading = reading_of(client_id, clock.now(), address)
    if reading.state == "failed":
        raise OAuthError("invalid_client", f"The metadata document is refused: {reading.fault}", status=401)
    if reading.state != "ready":
        text = "The metadata document is being read. Send the same request again."
        raise OAuthError("temporarily_unavailable", text, status=503, retry_after=RETRY_AFTER)


def _order(client_id: str, address: str, *, was_good: bool = False) -> Reading:
    """Have a worker read a document next; it is counted, since the one who asks chooses where it is. Commits by itself.

    :param was_good: then it has its place, however many others are asked for
    """
    throttling.take(LIMIT, address)
    if not was_good and _is_full(client_id):
        return Reading("full")
    now = clock.now()
    row = insert(ClientDocument).values(
        client_id=client_id, host=host_of_id(client_id), asked_at=now, due_at=now, fault=""
    )
    ordered = row.on_conflict_do_update(index_elements=[_c.client_id], set_={"asked_at": now, "due_at": now})
    changed(ordered.execution_options(at_once=True))  # also where the answer is that it has to be asked for again
    return Reading("checking")


def _is_full(client_id: str) -> bool:
    """Whether another document would be too many. One statement.

    What was good is its host's own. Addresses that lead to nothing can be named by anyone, for any host, and must not
    take the places of those.
    """
    now, on_host = clock.now(), _c.host == host_of_id(client_id)
    is_good = _c.fresh_until.is_not(None)
    is_tried = sa.and_(_c.fresh_until.is_(None), _c.asked_at > now - FAILED_FOR)
    counted = sa.select(
        _number_of(sa.or_(is_good, is_tried)),
        _number_of(sa.and_(on_host, is_good)),
        _number_of(sa.and_(on_host, is_tried)),
        _number_of(_c.due_at <= now),
    ).where(_c.client_id != client_id)
    most = (MOST, MOST_OF_HOST, MOST_NOT_GOOD_OF_HOST, MOST_WAITING)
    return any(found >= bound for found, bound in zip(db.session.execute(counted).one(), most, strict=True))


def _number_of(which: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(sa.case((which, 1), else_=0)), 0)
