"""Postmark: one JSON request per event, with credentials chosen by the operator (basic authentication or a header)."""

from __future__ import annotations

from typing import Any

from flask import Request

from app.bounces import payloads
from app.bounces.payloads import WebhookRejected
from app.crypto.secrets import same
from app.extensions import settings
from app.outbox.suppressions import COMPLAINT, HARD, SOFT, Report, code_in, kind_of

NAME = "postmark"
HEADER = "X-Webhook-Secret"

TYPES = {
    "HardBounce": HARD, "BadEmailAddress": HARD, "ManuallyDeactivated": HARD,
    "SoftBounce": SOFT, "Transient": SOFT, "DnsError": SOFT, "Blocked": SOFT, "SpamNotification": SOFT,
    "DMARCPolicy": SOFT, "Undeliverable": SOFT,
    "SpamComplaint": COMPLAINT,
}  # fmt: skip
"""Kind for each of its bounce types. Others, such as AutoResponder, say nothing about the address."""

SUPPRESSED = {"HardBounce": HARD, "SpamComplaint": COMPLAINT, "ManualSuppression": COMPLAINT}
"""Kind for each reason for which it suppresses an address."""


def is_set_up() -> bool:
    return bool(settings.bounces_postmark_secret.get_secret_value())


def read(request: Request) -> list[Report]:
    """Return the reports in a request. Raises WebhookRejected."""
    authorization = request.authorization
    given = request.headers.get(HEADER) or (authorization.password if authorization else None)
    if not given:
        raise WebhookRejected("credentials_missing", 401)
    if not same(given, settings.bounces_postmark_secret.get_secret_value()):
        raise WebhookRejected("credentials_wrong", 401)
    return [report for event in payloads.objects(payloads.read(request.get_data())) for report in _of(event)]


def _of(event: dict[str, Any]) -> list[Report]:
    what, address = (
        payloads.text(event, "RecordType"),
        payloads.text(event, "Email") or payloads.text(event, "Recipient"),
    )
    if what == "SubscriptionChange":
        kind = (
            SUPPRESSED.get(payloads.text(event, "SuppressionReason")) if event.get("SuppressSending") is True else None
        )
        name = f"{payloads.text(event, 'MessageID')} {payloads.text(event, 'ChangedAt')}"
    elif what in ("Bounce", "SpamComplaint", ""):  # older bounces have no RecordType
        kind = COMPLAINT if what == "SpamComplaint" else TYPES.get(payloads.text(event, "Type"))
        name = payloads.text(event, "ID") or payloads.text(event, "MessageID")
    else:
        return []
    code = code_in(event.get("Details"))
    if kind == HARD and code:
        kind = kind_of(code, HARD)
    return [Report(address, kind, NAME, name, code)] if kind and name else []
