"""Amazon SES: notifications through SNS, signed with an Amazon certificate that the worker fetches."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from flask import Request

from app import clock
from app.bounces import payloads, sns_documents
from app.bounces.payloads import WebhookRejected
from app.extensions import settings
from app.outbox.suppressions import COMPLAINT, HARD, NO_COMPLAINTS, SOFT, Report, code_in

NAME = "ses"

HOST = re.compile(r"sns\.[a-z]{2,4}(-[a-z]+){1,3}-[0-9]\.amazonaws\.com(\.cn)?\Z")
CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9a-f]{16,64}\.pem\Z")
SIGNER = re.compile(r"sns(\.[a-z0-9-]+)?\.amazonaws\.com(\.cn)?\Z")
"""Common name in Amazon's certificates."""

MAX_AGE = timedelta(days=1)
"""Maximum age of a notification. SNS retries failed deliveries for an hour."""

SIGNED_MEMBERS = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
"""Members that the signature covers, in order, by message type."""

HASHES = {"1": hashes.SHA1, "2": hashes.SHA256}

log = structlog.get_logger()


def is_set_up() -> bool:
    return bool(settings.bounces_ses_topics)


def read(request: Request) -> list[Report]:
    """Return the reports in a request. Confirming a subscription is left to the worker. Raises WebhookRejected."""
    envelope = payloads.read(request.get_data())
    kind, topic = payloads.text(envelope, "Type"), payloads.text(envelope, "TopicArn")
    if kind not in SIGNED_MEMBERS:
        raise WebhookRejected("not_from_sns", 400)
    if topic not in settings.bounces_ses_topics:
        raise WebhookRejected("topic_unknown")
    check(envelope, _certificate(payloads.text(envelope, "SigningCertURL")))
    _check_time(payloads.text(envelope, "Timestamp"))
    if kind == "Notification":
        return reports_in(payloads.text(envelope, "Message"))
    if kind == "SubscriptionConfirmation":
        url = payloads.text(envelope, "SubscribeURL")
        if not _is_of_sns(url):
            raise WebhookRejected("subscribe_url_foreign")
        sns_documents.schedule_confirmation(url)
    log.warning("bounces.topic", topic=topic, kind=kind)
    return []


def check(envelope: dict[str, Any], pem: str) -> None:
    """Verify the signature of an envelope with a certificate. Raises WebhookRejected."""
    algorithm = HASHES.get(payloads.text(envelope, "SignatureVersion"))
    if algorithm is None:
        raise WebhookRejected("signature_version_unknown")
    names = SIGNED_MEMBERS[payloads.text(envelope, "Type")]
    lines = [line for name in names if isinstance(envelope.get(name), str) for line in (name, envelope[name])]
    signed = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
    key = _key_of(pem)
    try:
        signature = base64.b64decode(payloads.text(envelope, "Signature"), validate=True)
        key.verify(signature, signed, padding.PKCS1v15(), algorithm())
    except (InvalidSignature, binascii.Error, ValueError):
        raise WebhookRejected("signature_wrong") from None


def _key_of(pem: str) -> rsa.RSAPublicKey:
    from cryptography import x509  # slow to import, and few services use SES
    from cryptography.x509.oid import NameOID

    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        raise WebhookRejected("certificate_unreadable") from None
    names = [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    now, key = clock.now(), certificate.public_key()
    is_valid = certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
    if not is_valid or not any(map(SIGNER.match, names)) or not isinstance(key, rsa.RSAPublicKey):
        raise WebhookRejected("certificate_wrong")
    return key


def _certificate(url: str) -> str:
    """Return an Amazon certificate. Raises WebhookRejected until the worker has fetched it, so that SNS retries."""
    if not _is_of_sns(url) or not CERTIFICATE.match(urlsplit(url).path) or urlsplit(url).query:
        raise WebhookRejected("certificate_url_foreign")
    pem = sns_documents.certificate(url)
    if pem is None:
        raise WebhookRejected("certificate_not_here_yet", 503)
    return pem


def _is_of_sns(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_https = parts.scheme == "https" and parts.port is None and "@" not in parts.netloc
    except ValueError:
        return False
    return (
        is_https and len(url) <= sns_documents.MAX_URL_LENGTH and HOST.match(parts.netloc) is not None and url.isascii()
    )


def _check_time(text: str) -> None:
    try:
        sent_at = datetime.fromisoformat(text)
    except ValueError:
        raise WebhookRejected("timestamp_unreadable") from None
    sent_at = sent_at if sent_at.tzinfo else sent_at.replace(tzinfo=UTC)
    if not -timedelta(minutes=15) < clock.now() - sent_at < MAX_AGE:
        raise WebhookRejected("notification_too_old")


def reports_in(message: str) -> list[Report]:
    """Return the reports in an SES notification; none for anything else, such as SNS's own test message."""
    try:
        notification = payloads.read(message.encode("utf-8", "replace"))
    except WebhookRejected:
        return []
    kind = payloads.text(notification, "notificationType") or payloads.text(notification, "eventType")
    if kind == "Bounce":
        return _bounces(payloads.part(notification, "bounce"))
    if kind == "Complaint":
        return _complaints(payloads.part(notification, "complaint"))
    return []


def _bounces(bounce: dict[str, Any]) -> list[Report]:
    kind = HARD if payloads.text(bounce, "bounceType") == "Permanent" else SOFT
    name = payloads.text(bounce, "feedbackId")
    found = []
    for each in payloads.objects(bounce.get("bouncedRecipients")):
        code = code_in(each.get("status"), each.get("diagnosticCode"))
        found.append(Report(payloads.text(each, "emailAddress"), kind, NAME, name, code))
    return found if name else []


def _complaints(complaint: dict[str, Any]) -> list[Report]:
    name = payloads.text(complaint, "feedbackId")
    if not name or payloads.text(complaint, "complaintFeedbackType") in NO_COMPLAINTS:
        return []
    recipients = payloads.objects(complaint.get("complainedRecipients"))
    return [Report(payloads.text(each, "emailAddress"), COMPLAINT, NAME, name) for each in recipients]
