"""Enqueue events in the transaction in which they happen: one row for each endpoint that gets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from app import clock
from app.crypto import secrets
from app.extensions import db
from app.outbox.service import ENQUEUED
from app.users import User
from app.webhooks import event_types, subscriptions
from app.webhooks.event_types import BY_NAME, BY_SOURCE, EventType
from app.webhooks.models import WAITING, WebhookDelivery, WebhookEndpoint

_ID_PREFIX = "msg_"

_d, _e = WebhookDelivery.__table__, WebhookEndpoint.__table__


def _bind(name: str, *, parameter: str = "") -> Any:
    return sa.bindparam(parameter or name, type_=_d.c[name].type)


_handle = sa.select(User.handle).where(User.id == _bind("user_id", parameter="owner")).scalar_subquery()
_VALUES: dict[str, Any] = {
    "endpoint_id": _e.c.id,
    "message_id": _bind("message_id"),
    "type": _bind("type"),
    "at": _bind("at"),
    "subject": sa.func.coalesce(_bind("subject"), _handle),
    "user_id": _bind("user_id"),
    "is_forgotten": _bind("is_forgotten"),
    "support_id": _bind("support_id"),
    "facts": _bind("facts"),
    "state": sa.literal(WAITING, _d.c.state.type),
    "attempts": sa.literal(0, sa.Integer),
    "next_attempt_at": _bind("next_attempt_at"),
    "last_error": sa.literal("", _d.c.last_error.type),
}
_ENABLED = sa.select(*_VALUES.values()).where(_e.c.id == sa.bindparam("endpoint"), _e.c.disabled_at.is_(None))
_INSERT = sa.insert(_d).from_select(list(_VALUES), _ENABLED)


class AuditListener:
    """Receives each event that the audit log records, before its transaction ends."""

    def wants(self, name: str) -> bool:
        """Return whether any endpoint gets events based on this one."""
        kind = BY_SOURCE.get(name)
        return kind is not None and bool(subscriptions.endpoints_of(kind.name))

    def recorded(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Enqueue these events in this transaction. They have the same name, which ``wants`` accepted."""
        kind = BY_SOURCE[events[0]["name"]]
        _enqueue(kind, [_row(kind, each) for each in events if not _is_bulk(each)])


def accounts_created(user_ids: Sequence[int], *, by: str) -> None:
    """Enqueue an event for each of these accounts, if a single audit log event covers them all."""
    if len(user_ids) > 1 and subscriptions.endpoints_of(event_types.ACCOUNT_CREATED):
        kind = BY_NAME[event_types.ACCOUNT_CREATED]
        events = [{"at": clock.now(), "user_id": user_id, "facts": {"by": by}} for user_id in user_ids]
        _enqueue(kind, [_row(kind, each) for each in events])


def account_deleted(handle: str) -> None:
    """Enqueue an event for the deletion of the account with this handle."""
    kind = BY_NAME[event_types.ACCOUNT_DELETED]
    if subscriptions.endpoints_of(kind.name):
        row = _row(kind, {"at": clock.now(), "user_id": None, "facts": {}})
        _enqueue(kind, [row | {"subject": handle, "is_forgotten": True}])


def _is_bulk(event: Mapping[str, Any]) -> bool:
    """Return whether an event covers many accounts, each of which gets its own from ``accounts_created``."""
    return event["name"] == "account.created" and event["user_id"] is None


def _row(kind: EventType, event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of ``_INSERT`` for an event, except for the endpoint."""
    return {
        "message_id": new_message_id(),
        "type": kind.name,
        "at": event["at"],
        "owner": event["user_id"],
        "subject": None,
        "user_id": event["user_id"],
        "is_forgotten": False,
        "support_id": event.get("support_id", ""),
        "facts": event_types.select_facts(kind, event["facts"]),
        "next_attempt_at": event["at"],
    }


def new_test(endpoint_id: str) -> WebhookDelivery:
    """Return a ``webhook.test`` for an endpoint, due now and not stored yet."""
    now = clock.now()
    return WebhookDelivery(
        endpoint_id=endpoint_id, message_id=new_message_id(), type=event_types.TEST, at=now, next_attempt_at=now,
        is_forgotten=False, support_id="", facts={}, state=WAITING, attempts=0, last_error="",
    )  # fmt: skip


def new_message_id() -> str:
    """Return a new ``webhook-id``."""
    return _ID_PREFIX + secrets.row_id()


def _enqueue(kind: EventType, rows: Sequence[Mapping[str, Any]]) -> None:
    endpoints = subscriptions.endpoints_of(kind.name)
    each = [{**row, "endpoint": endpoint} for row in rows for endpoint in endpoints]
    if each:
        db.session.execute(_INSERT, each)
        db.session().info.setdefault(ENQUEUED, []).append(kind.name)  # so that the commit wakes the workers
