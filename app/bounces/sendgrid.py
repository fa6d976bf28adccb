"""SendGrid: a JSON list of events, signed with ECDSA under a key that SendGrid shows to the operator."""

from __future__ import annotations

import base64
import binascii
from datetime import timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from flask import Request

from app import clock
from app.bounces import payloads
from app.bounces.payloads import WebhookRejected
from app.extensions import settings
from app.outbox.suppressions import COMPLAINT, HARD, SOFT, Report, code_in, kind_of

NAME = "sendgrid"
SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"

MAX_AGE = timedelta(hours=48)
"""Maximum age of a signature. SendGrid retries failed deliveries for a day."""

MAX_CLOCK_SKEW = timedelta(minutes=5)

DROPPED = {"bounced address": HARD, "invalid": HARD, "spam reporting address": COMPLAINT,
           "unsubscribed address": COMPLAINT}  # fmt: skip
"""Kind for each reason to drop a mail, in lower case, that is about the address. Other reasons are about the mail."""


def is_set_up() -> bool:
    return bool(settings.bounces_sendgrid_key)


def read(request: Request) -> list[Report]:
    """Return the reports in a request. Raises WebhookRejected."""
    signature, time = request.headers.get(SIGNATURE), request.headers.get(TIMESTAMP)
    if not signature or not time:
        raise WebhookRejected("signature_missing", 401)
    body = request.get_data()
    check(settings.bounces_sendgrid_key, signature, time, body)
    if not time.isascii() or not time.isdigit() or len(time) > 12:
        raise WebhookRejected("signature_wrong")
    if not -MAX_CLOCK_SKEW.total_seconds() < clock.unix() - int(time) < MAX_AGE.total_seconds():
        raise WebhookRejected("signature_too_old")
    return [report for event in payloads.objects(payloads.read(body)) for report in _of(event)]


def check(key: str, signature: str, time: str, body: bytes) -> None:
    """Verify the signature of a raw body, including its trailing line break.

    :param key: as shown by SendGrid: DER in base64
    :raises WebhookRejected: when the signature is wrong
    """
    public = load_der_public_key(base64.b64decode(key))
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise WebhookRejected("signature_wrong")
    try:
        raw = base64.b64decode(signature, validate=True)
        public.verify(raw, time.encode("latin-1", "replace") + body, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, binascii.Error, ValueError):
        raise WebhookRejected("signature_wrong") from None


def _of(event: dict[str, Any]) -> list[Report]:
    what, reason = payloads.text(event, "event"), payloads.text(event, "reason")
    code, kind = code_in(event.get("status"), reason), ""
    if what == "spamreport":
        kind = COMPLAINT
    elif what == "bounce":
        kind = SOFT if payloads.text(event, "type") == "blocked" else kind_of(code, HARD)
    elif what == "dropped":
        kind = DROPPED.get(reason.strip().lower(), "")
    name = payloads.text(event, "sg_event_id")
    return [Report(payloads.text(event, "email"), kind, NAME, name, code)] if kind and name else []
