"""Sign-in links sent by administrators, in a data export."""

from __future__ import annotations

from app.db.export import ExportPart
from app.signin.models import SentLink

PARTS = (
    ExportPart(
        "sign_in_links",
        "One-time sign-in links that an administrator had sent to the account's email in the last day.",
        owner=SentLink.user_id,
        newest_by=[SentLink.created_at, SentLink.id],
        columns={"email": SentLink.email, "sent_at": SentLink.created_at, "expires_at": SentLink.expires_at},
    ),
)
