"""What an export holds of messages: that they were sent, never what they said."""

from __future__ import annotations

from app.db.export import ExportPart
from app.outbox.models import Message

PARTS = (
    ExportPart(
        "messages",
        "Mails and text messages to you, and that apps were told when you were signed out, for as long as we remember "
        "them. What stood in them is kept nowhere.",
        owner=Message.user_id,
        newest_by=[Message.created_at, Message.id],
        columns={
            "kind": Message.kind,
            "channel": Message.channel,
            "to": Message.to,
            "state": Message.state,
            "written_at": Message.created_at,
            "sent_at": Message.sent_at,
        },
    ),
)
