"""Data export: the user's earlier exports and scheduled deletion."""

from __future__ import annotations

from app.db.export import ExportPart
from app.privacy.models import Deletion, Export

PARTS = (
    ExportPart(
        "exports",
        "Archives like this one that were asked for lately.",
        owner=Export.user_id,
        newest_by=[Export.asked_at, Export.id],
        columns={"asked_at": Export.asked_at, "state": Export.state, "made_at": Export.ready_at, "bytes": Export.size},
    ),
    ExportPart(
        "deletion",
        "When the account is to be erased, if that was asked for.",
        owner=Deletion.user_id,
        newest_by=[Deletion.user_id],
        columns={"asked_at": Deletion.asked_at, "erased_at": Deletion.deletes_at},
    ),
)
