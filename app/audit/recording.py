"""Record an event, with who asked taken from the request under way."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import g, has_request_context, request

from app.audit.models import Event
from app.extensions import db
from app.kit import clock

AGENT_LENGTH = 256
_INSERT = sa.insert(Event.__table__)


def record(name: str, user_id: int | None = None, **facts: Any) -> None:
    """Add an event to this transaction: one INSERT.

    :param name: past tense, dotted: ``sign_in.done``
    :param facts: plain JSON values; never a passcode, token, link or secret
    """
    row = {"at": clock.now(), "name": name, "user_id": user_id, "facts": facts}
    db.session.execute(_INSERT, row | _who_asked())


def _who_asked() -> dict[str, str]:
    if not has_request_context():
        return {"support_id": "", "request_id": "", "address": "", "agent": ""}
    return {
        "support_id": g.get("support_id", ""),
        "request_id": g.get("request_id", ""),
        "address": g.get("client_address", ""),
        "agent": request.headers.get("User-Agent", "")[:AGENT_LENGTH],
    }
