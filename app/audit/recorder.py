"""Record an event; the client is taken from the current request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from flask import g, has_request_context, request

from app import clock, user_agents
from app.audit.models import Event
from app.db import has_written
from app.db.compiled import CompiledStatement
from app.db.retention import delete_batch
from app.extensions import db, settings

_INSERT = CompiledStatement.into(Event.__table__)
_INSERT_AT_ONCE = CompiledStatement.into(Event.__table__, at_once=True)


def record(
    name: str, user_id: int | None = None, *, challenge_id: str | None = None, at_once: bool = False, **facts: Any
) -> None:
    """Add an event to this transaction: one INSERT.

    :param name: past tense, dotted: ``sign_in.done``
    :param challenge_id: the challenge it is about, if there is one
    :param at_once: commit it by itself, for a rejection without other effects; in a transaction that has already
        written, it is part of that
    :param facts: plain JSON values; never a passcode, token, link or secret
    """
    row = {"at": clock.now(), "name": name, "user_id": user_id, "challenge_id": challenge_id, "facts": facts}
    alone = at_once and not has_written(db.session.connection())
    (_INSERT_AT_ONCE if alone else _INSERT).run(**row, **_who_asked())


def record_each(name: str, events: Sequence[dict[str, Any]]) -> None:
    """Add events of one name to this transaction: one statement for all of them, none when there are none.

    :param events: ``user_id``, ``challenge_id`` and ``facts`` of each, as ``record`` takes them
    """
    if events:
        same = {"at": clock.now(), "name": name} | _who_asked()
        db.session.execute(sa.insert(Event.__table__), [same | event for event in events])


def _who_asked() -> dict[str, str]:
    if not has_request_context():
        return {"support_id": "", "request_id": "", "address": "", "agent": ""}
    return {
        "support_id": g.get("support_id", ""),
        "request_id": g.get("request_id", ""),
        "address": g.get("client_address", ""),
        "agent": user_agents.label(request.headers.get("User-Agent")),
    }


def prune_events() -> int:
    """Delete a batch of events older than ``LATCHKEY_EVENTS_KEEP``; return how many."""
    return delete_batch(db.session, Event, Event.at < clock.now() - settings.events_keep)
