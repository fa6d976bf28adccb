"""The part of a data export with events. Of their facts, only method and reason are included."""

from __future__ import annotations

from app.audit.models import Event
from app.db.export import ExportPart

PARTS = (
    ExportPart(
        "events",
        "What happened at the account, attempts of strangers too, from which browser and network address.",
        owner=Event.user_id,
        newest_by=[Event.at, Event.id],
        columns={
            "at": Event.at,
            "event": Event.name,
            "method": Event.facts["method"].as_string(),
            "reason": Event.facts["reason"].as_string(),
            "address": Event.address,
            "browser": Event.agent,
            "support_id": Event.support_id,
        },
    ),
)
