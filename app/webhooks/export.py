"""What a data export contains about events that were posted to other programs."""

from __future__ import annotations

from app.db.export import ExportPart
from app.webhooks.models import WebhookDelivery

PARTS = (
    ExportPart(
        "webhooks",
        "Events of the account that were or will be sent to other programs of the operator.",
        owner=WebhookDelivery.user_id,
        newest_by=[WebhookDelivery.at, WebhookDelivery.id],
        columns={"at": WebhookDelivery.at, "type": WebhookDelivery.type, "state": WebhookDelivery.state},
    ),
)
