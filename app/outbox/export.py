"""Parts of a data export about messages: that they were sent, but never their content."""

from __future__ import annotations

from app.db.export import ExportPart
from app.outbox.models import Bounce, Message, Suppression

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
    ExportPart(
        "bounces",
        "Emails to you that came back, and those that were reported as spam.",
        owner=Bounce.user_id,
        newest_by=[Bounce.at, Bounce.id],
        columns={"at": Bounce.at, "kind": Bounce.kind, "provider": Bounce.provider, "code": Bounce.code},
    ),
    ExportPart(
        "suppressions",
        "Addresses of yours that get no email for now, because it came back.",
        owner=Suppression.user_id,
        newest_by=[Suppression.since, Suppression.masked],
        columns={
            "address": Suppression.masked,
            "kind": Suppression.kind,
            "since": Suppression.since,
            "until": Suppression.until,
        },
    ),
)
