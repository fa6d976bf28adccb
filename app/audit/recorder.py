"""Record an event; the client is taken from the current request. Say when the last backup was made, which is one."""

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
    """Passes events on to other programs, in the transaction that records them."""

    def wants(self, name: str) -> bool:
        """Whether events of this name are passed on. Asked for each event, so it must cost next to nothing."""

    def recorded(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Take events that were just recorded: the columns of ``Event``, by name."""


def set_listener(app: Flask, listener: Listener) -> None:
    """Have ``listener`` hear of every event."""
    app.extensions[_LISTENER] = listener


OF_SIGN_INS = (None, "sign_in", "confirm")
"""Purposes of proofs that open a session. Others confirm that it is still the same person."""

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
    listener = _listener_to(name)
    row = {"at": clock.now(), "name": name, "user_id": user_id, "challenge_id": challenge_id, "facts": facts}
    row |= _who_asked()
    # What is passed on is written beside the event, so both need one transaction.
    alone = at_once and listener is None and not has_written(session_connection())
    (_INSERT_AT_ONCE if alone else _INSERT).run(**row)
    if listener is not None:
        listener.recorded([row])
    _count(name, facts)


def record_each(name: str, events: Sequence[dict[str, Any]]) -> None:
    """Add events of one name to this transaction: one statement for all of them, none when there are none.

    :param events: ``user_id``, ``challenge_id`` and ``facts`` of each, as ``record`` takes them
    """
    if events:
        same = {"at": clock.now(), "name": name} | _who_asked()
        rows = [same | event for event in events]
        listener = _listener_to(name)
        db.session.execute(sa.insert(Event.__table__), rows)
        if listener is not None:
            listener.recorded(rows)
        metrics.EVENTS.count(name, by=len(events))


def _listener_to(name: str) -> Listener | None:
    """Return who passes events of this name on; None for nobody."""
    listener: Listener | None = this_app().extensions.get(_LISTENER)
    return listener if listener is not None and listener.wants(name) else None


def _count(name: str, facts: dict[str, Any]) -> None:
    """Count an event; of a sign-in also its method and why it failed.

    What was typed may be a code of any method or a password, so a failure names none unless the event does.
    """
    metrics.EVENTS.count_when_kept(name)
    if name == "sign_in.succeeded":
        metrics.SIGN_INS.count_when_kept(facts.get("method", ""), facts.get("second", ""), "succeeded", "")
    elif name == "sign_in.failed" and facts.get("purpose") in OF_SIGN_INS:
        method, reason = facts.get("method") or "typed", facts.get("reason") or "refused"
        metrics.SIGN_INS.count_when_kept(method, "", "failed", reason)
    elif name == "second_step.failed":
        metrics.SIGN_INS.count_when_kept("", facts.get("method") or "typed", "failed", facts.get("reason") or "refused")


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


def last_backup() -> datetime | None:
    """Return when the last backup was made; None when none is known. One statement, by an index."""
    newest = sa.select(Event.at).where(IS_BACKUP).order_by(Event.at.desc()).limit(1)
    return db.session.scalar(newest)
