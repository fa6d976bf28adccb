"""Recoveries in a data export: when and from where each was requested, and its result."""

from __future__ import annotations

from app.db.export import ExportPart
from app.recovery.models import Recovery

PARTS = (
    ExportPart(
        "recoveries",
        "Recoveries of the account that were asked for: from where, and what became of each.",
        owner=Recovery.user_id,
        newest_by=[Recovery.requested_at, Recovery.id],
        columns={
            "requested_at": Recovery.requested_at,
            "ready_at": Recovery.ready_at,
            "cancelled_at": Recovery.cancelled_at,
            "done_at": Recovery.done_at,
            "address": Recovery.address,
            "browser": Recovery.agent,
        },
    ),
)
