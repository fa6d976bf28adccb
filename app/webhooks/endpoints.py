"""Endpoints and their deliveries, for the operator's commands and the console. The caller commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from app import clock
from app.audit import record
from app.crypto import secrets
from app.errors import Rejected
from app.extensions import db, execute_update
from app.webhooks import delivery, event_types, queue, signatures, subscriptions
from app.webhooks.addresses import check_url
from app.webhooks.models import ABANDONED, SENDING, SENT, WAITING, WebhookDelivery, WebhookEndpoint

OPERATOR = "operator"
MAX_LISTED = 1000
"""Maximum number of deliveries to list."""

_UPDATE = sa.update(WebhookEndpoint)
_IS_ABANDONED = WebhookDelivery.state == sa.literal_column(f"'{ABANDONED}'")  # a parameter would hide the partial index


def create(url: str, patterns: Sequence[str], *, by: str) -> tuple[WebhookEndpoint, str]:
    """Add an endpoint; return it and its secret, which is shown only once.

    :param patterns: types of events, ``session.*`` or ``*``
    :raises Rejected: like ``check_url`` and ``check_patterns``
    """
    endpoint_id, secret = secrets.row_id(), signatures.new_secret()
    endpoint = WebhookEndpoint(
        id=endpoint_id,
        url=check_url(url),
        patterns="\n".join(event_types.check_patterns(list(patterns))),
        secret=signatures.seal(secret, endpoint_id),
    )
    db.session.add(endpoint)
    db.session.flush()
    _record_change("webhook.created", endpoint_id, by)
    return endpoint, signatures.encoded(secret)


def all_endpoints() -> list[WebhookEndpoint]:
    """Return every endpoint, oldest first."""
    existing = sa.select(WebhookEndpoint).where(WebhookEndpoint.deleted_at.is_(None))
    return list(db.session.scalars(existing.order_by(WebhookEndpoint.created_at, WebhookEndpoint.id)))


def get_endpoint(endpoint_id: str) -> WebhookEndpoint:
    """Return an endpoint.

    :raises Rejected: ``webhook_unknown`` (404) if there is none with this id
    """
    found = db.session.get(WebhookEndpoint, endpoint_id, populate_existing=True)
    if found is None or found.deleted_at is not None:
        raise Rejected("webhook_unknown", status=404)
    return found


def change(endpoint_id: str, *, by: str, url: str | None = None, patterns: Sequence[str] | None = None) -> None:
    """Change an endpoint's URL, or which events it gets. Waiting events go to the new URL.

    :raises Rejected: like ``get_endpoint`` and ``create``
    """
    get_endpoint(endpoint_id)
    values: dict[str, Any] = {}
    if url is not None:
        values |= {"url": check_url(url), "rests_until": None}
    if patterns is not None:
        values["patterns"] = "\n".join(event_types.check_patterns(list(patterns)))
    if values:
        execute_update(_UPDATE.where(WebhookEndpoint.id == endpoint_id).values(values))
        _record_change("webhook.changed", endpoint_id, by)


def rotate_secret(endpoint_id: str, overlap: timedelta, *, by: str) -> str:
    """Give an endpoint a new secret and return it. For ``overlap``, the previous one signs as well.

    A secret that was replaced earlier no longer signs.

    :raises Rejected: like ``get_endpoint``; ``webhook_changed`` (409) if it was rotated or resealed concurrently
    """
    endpoint, secret = get_endpoint(endpoint_id), signatures.new_secret()
    before = signatures.secrets_of(endpoint, clock.now())[0]
    values = {
        "secret": signatures.seal(secret, endpoint_id),
        "old_secret": signatures.seal(before, endpoint_id, "old_secret") if overlap else "",
        "old_secret_until": clock.now() + overlap if overlap else None,
    }
    unchanged = (WebhookEndpoint.id == endpoint_id, WebhookEndpoint.secret == endpoint.secret)
    if execute_update(_UPDATE.where(*unchanged).values(values)) != 1:  # rotated or resealed concurrently
        raise Rejected("webhook_changed", status=409)
    _record_change("webhook.secret_rotated", endpoint_id, by, overlap=int(overlap.total_seconds()))
    return signatures.encoded(secret)


def disable(endpoint_id: str, *, by: str) -> bool:
    """Disable an endpoint; return False if it already is. It gets no new events, and its waiting ones are kept.

    :raises Rejected: like ``get_endpoint``
    """
    get_endpoint(endpoint_id)
    return delivery.disable(endpoint_id, OPERATOR, by=by)


def enable(endpoint_id: str, *, by: str) -> bool:
    """Enable an endpoint again, as if nothing had failed there; return False if it is enabled.

    :raises Rejected: like ``get_endpoint``
    """
    get_endpoint(endpoint_id)
    healthy = {"failures": 0, "failing_since": None, "rests_until": None, "last_error": ""}
    off = (WebhookEndpoint.id == endpoint_id, WebhookEndpoint.disabled_at.is_not(None))
    if not execute_update(_UPDATE.where(*off).values(disabled_at=None, disabled_reason="", **healthy)):
        return False
    _record_change("webhook.enabled", endpoint_id, by)
    return True


def delete(endpoint_id: str, *, by: str) -> None:
    """Delete an endpoint and its secrets. A worker deletes its deliveries in batches.

    :raises Rejected: like ``get_endpoint``
    """
    get_endpoint(endpoint_id)
    now = clock.now()
    empty = {"url": "", "patterns": "", "secret": "", "old_secret": "", "old_secret_until": None, "last_error": ""}
    off = {
        "deleted_at": now,
        "disabled_at": sa.func.coalesce(WebhookEndpoint.disabled_at, now),
        "disabled_reason": OPERATOR,
    }
    execute_update(_UPDATE.where(WebhookEndpoint.id == endpoint_id).values(empty | off))
    db.session.expunge_all()
    _record_change("webhook.deleted", endpoint_id, by)


def queue_test(endpoint_id: str) -> WebhookDelivery:
    """Queue a ``webhook.test`` for an endpoint, and return it. It is tried once.

    :raises Rejected: like ``get_endpoint``
    """
    get_endpoint(endpoint_id)
    row = queue.new_test(endpoint_id)
    db.session.add(row)
    db.session.flush()
    return row


def deliveries(
    *, endpoint_id: str = "", states: Sequence[str] = (), before: int = 0, limit: int = 50
) -> list[WebhookDelivery]:
    """Return deliveries, newest first.

    :param before: only those with a smaller id; 0 for all
    """
    order: sa.ColumnElement[int] = WebhookDelivery.id.expression
    query = sa.select(WebhookDelivery)
    if set(states) == {ABANDONED}:
        query, order = query.where(_IS_ABANDONED), order + 0  # use the small partial index, not the primary key
    elif states and SENT not in states and ABANDONED not in states:
        query, order = query.where(WebhookDelivery.next_attempt_at.is_not(None)), order + 0
    query = query.order_by(order.desc()).limit(min(limit, MAX_LISTED))
    if endpoint_id:
        query = query.where(WebhookDelivery.endpoint_id == endpoint_id)
    if states:
        query = query.where(WebhookDelivery.state.in_(states))
    if before:
        query = query.where(WebhookDelivery.id < before)
    return list(db.session.scalars(query.execution_options(populate_existing=True)))


def retry(names: Sequence[str]) -> list[int]:
    """Make deliveries due now, even those that were accepted; return the ids of those that exist.

    Settled deliveries get as many attempts as new ones.

    :param names: their ids, or a ``webhook-id``, which means its event at every endpoint
    """
    numbers = [int(name) for name in names if name.isascii() and name.isdigit() and len(name) < 19]
    return _retry(sa.or_(WebhookDelivery.id.in_(numbers), WebhookDelivery.message_id.in_(list(names))))


def retry_failed(endpoint_id: str) -> int:
    """Make every delivery due now that failed at an endpoint, whether waiting or abandoned; return how many.

    :raises Rejected: like ``get_endpoint``
    """
    get_endpoint(endpoint_id)
    is_of_endpoint = WebhookDelivery.endpoint_id == endpoint_id
    is_waiting = WebhookDelivery.next_attempt_at.is_not(None)
    waiting = _retry(is_of_endpoint, is_waiting, WebhookDelivery.attempts > 0)
    return len(waiting) + len(_retry(is_of_endpoint, _IS_ABANDONED))


def _retry(*which: sa.ColumnElement[bool]) -> list[int]:
    is_settled = WebhookDelivery.state.in_((SENT, ABANDONED))
    attempts = sa.case((is_settled, 0), else_=WebhookDelivery.attempts)
    due = {"state": WAITING, "next_attempt_at": clock.now(), "attempts": attempts}
    update = sa.update(WebhookDelivery).where(*which, WebhookDelivery.state != SENDING).values(due)
    returning = update.returning(WebhookDelivery.id, WebhookDelivery.endpoint_id)
    rows = db.session.execute(returning.execution_options(synchronize_session=False)).all()
    endpoints = {row.endpoint_id for row in rows}
    if endpoints:
        execute_update(_UPDATE.where(WebhookEndpoint.id.in_(endpoints)).values(rests_until=None))
    return sorted(row.id for row in rows)


@dataclass(frozen=True, slots=True)
class Health:
    """State of an endpoint.

    :ivar waiting: number of events that wait for it
    :ivar abandoned: number of events that were recently abandoned
    """

    endpoint: WebhookEndpoint
    waiting: int
    abandoned: int


def health() -> list[Health]:
    """Return the state of each endpoint, oldest first."""
    waiting = _count_by_endpoint(WebhookDelivery.next_attempt_at.is_not(None))
    abandoned = _count_by_endpoint(_IS_ABANDONED)
    return [Health(each, waiting.get(each.id, 0), abandoned.get(each.id, 0)) for each in all_endpoints()]


def _count_by_endpoint(which: sa.ColumnElement[bool]) -> dict[str, int]:
    endpoint_id = WebhookDelivery.endpoint_id
    rows = db.session.execute(sa.select(endpoint_id, sa.func.count()).where(which).group_by(endpoint_id))
    return {row[0]: row[1] for row in rows}


def _record_change(event: str, endpoint_id: str, by: str, **facts: Any) -> None:
    record(event, endpoint=endpoint_id, by=by, **facts)
    subscriptions.invalidate()
