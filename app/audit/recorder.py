"""Record events, with the client taken from the current request, and look up the last backup, which is an event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import sqlalchemy as sa
from flask import g, has_request_context, request

from app import clock, metrics, user_agents
from app.audit.models import IS_BACKUP, Event
from app.db import has_written
from app.db.compiled import CompiledStatement, session_connection
from app.db.retention import delete_batch
from app.extensions import db, settings, this_app

if TYPE_CHECKING:
    from flask import Flask

_LISTENER = "latchkey.audit_listener"


class Listener(Protocol):
    """Forwards events to other programs, in the transaction that records them."""

    def wants(self, name: str) -> bool:
        """Return whether to forward events of this name. Called for each event, so it must be cheap."""

    def recorded(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Process events that were just recorded, each as a mapping of ``Event`` columns."""


def set_listener(app: Flask, listener: Listener) -> None:
    """Call ``listener`` for every event."""
    app.extensions[_LISTENER] = listener


SIGN_IN_PURPOSES = (None, "sign_in", "confirm")
"""Purposes of verifications that open a session. Others reauthenticate the user."""

_INSERT = CompiledStatement.into(Event.__table__)
_INSERT_AUTOCOMMIT = CompiledStatement.into(Event.__table__, autocommit=True)


def record(
    name: str, user_id: int | None = None, *, challenge_id: str | None = None, autocommit: bool = False, **facts: Any
) -> None:
    """Record an event in the current transaction, with one INSERT.

    :param name: past tense, dotted: ``sign_in.done``
    :param challenge_id: related challenge, if any
    :param autocommit: commit it separately, for a rejection without other effects. If the transaction has already
        written, or a listener wants the event, it is part of the transaction
    :param facts: plain JSON values; never a passcode, token, link or secret
    """
    listener = _listener_to(name)
    row = {"at": clock.now(), "name": name, "user_id": user_id, "challenge_id": challenge_id, "facts": facts}
    row |= _client_fields()
    # The listener writes alongside the event, so both need the same transaction.
    commits_alone = autocommit and listener is None and not has_written(session_connection())
    (_INSERT_AUTOCOMMIT if commits_alone else _INSERT).run(**row)
    if listener is not None:
        listener.recorded([row])
    _count(name, facts)


def record_each(name: str, events: Sequence[dict[str, Any]]) -> None:
    """Record events of one name in the current transaction, with one statement, or none if there are no events.

    :param events: ``user_id``, ``challenge_id`` and ``facts`` of each, as in ``record``
    """
    if events:
        shared = {"at": clock.now(), "name": name} | _client_fields()
        rows = [shared | event for event in events]
        listener = _listener_to(name)
        db.session.execute(sa.insert(Event.__table__), rows)
        if listener is not None:
            listener.recorded(rows)
        metrics.EVENTS.count(name, by=len(events))


def _listener_to(name: str) -> Listener | None:
    """Return the listener if it wants events of this name; otherwise None."""
    listener: Listener | None = this_app().extensions.get(_LISTENER)
    return listener if listener is not None and listener.wants(name) else None


def _count(name: str, facts: dict[str, Any]) -> None:
    """Count an event in the metrics; for a sign-in also its method and the reason for a failure.

    Input may be a code of any method or a password, so a failure has no method unless the event does.
    """
    metrics.EVENTS.count_when_kept(name)
    if name == "sign_in.succeeded":
        metrics.SIGN_INS.count_when_kept(facts.get("method", ""), facts.get("second", ""), "succeeded", "")
    elif name == "sign_in.failed" and facts.get("purpose") in SIGN_IN_PURPOSES:
        method, reason = facts.get("method") or "typed", facts.get("reason") or "refused"
        metrics.SIGN_INS.count_when_kept(method, "", "failed", reason)
    elif name == "second_step.failed":
        metrics.SIGN_INS.count_when_kept("", facts.get("method") or "typed", "failed", facts.get("reason") or "refused")


def _client_fields() -> dict[str, str]:
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


def last_backup() -> datetime | None:
    """Return when the last backup was created; None if none is known. One statement, by index."""
    newest = sa.select(Event.at).where(IS_BACKUP).order_by(Event.at.desc()).limit(1)
    return db.session.scalar(newest)
