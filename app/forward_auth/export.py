"""What a data export contains about protected apps; never a digest."""

from __future__ import annotations

from app.db.export import ExportPart
from app.forward_auth.models import AppSession

PARTS = (
    ExportPart(
        "protected_apps",
        "Where the account is signed in, of the apps behind a proxy.",
        owner=AppSession.user_id,
        newest_by=[AppSession.created_at, AppSession.digest],
        columns={
            "app": AppSession.app,
            "host": AppSession.host,
            "signed_in_at": AppSession.created_at,
            "expires_at": AppSession.expires_at,
        },
    ),
)
EXCLUDED: dict[str, str] = {"app_entry_ticket": "Tickets of thirty seconds."}
