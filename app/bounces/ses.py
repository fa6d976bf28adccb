"""Amazon SES: notifications through SNS, signed with an Amazon certificate that the worker fetches."""

from __future__ import annotations

import base64
import binascii
import re
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from flask import Request
from sqlalchemy.dialects.postgresql import insert  # SQLite accepts this INSERT as well

from app import clock
from app.bounces import payloads
from app.bounces.models import SnsDocument
from app.bounces.payloads import WebhookRejected
from app.db.retention import delete_batch
from app.extensions import db, execute_update, settings
from app.outbox.channels import Interrupted
from app.outbox.channels.guarded_http import NotFetched, fetch, is_public
from app.outbox.leases import claim_rows, claiming
from app.outbox.suppressions import COMPLAINT, HARD, NO_COMPLAINTS, SOFT, Report, code_in

NAME = "ses"

HOST = re.compile(r"sns\.[a-z]{2,4}(-[a-z]+){1,3}-[0-9]\.amazonaws\.com(\.cn)?\Z")
CERTIFICATE_PATH = re.compile(r"/SimpleNotificationService-[0-9a-f]{16,64}\.pem\Z")
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
        schedule_confirmation(url)
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
    if not _is_of_sns(url) or not CERTIFICATE_PATH.match(urlsplit(url).path) or urlsplit(url).query:
        raise WebhookRejected("certificate_url_foreign")
    pem = fetched_certificate(url)
    if pem is None:
        raise WebhookRejected("certificate_not_here_yet", 503)
    return pem


def _is_of_sns(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_https = parts.scheme == "https" and parts.port is None and "@" not in parts.netloc
    except ValueError:
        return False
    return is_https and len(url) <= MAX_URL_LENGTH and HOST.match(parts.netloc) is not None and url.isascii()


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


# --- documents that the worker fetches ----------------------------------------------------------


CERTIFICATE, CONFIRMATION = "certificate", "confirmation"
MAX_URL_LENGTH = 1000
MAX_BYTES = 64 * 1024
FETCH_TIMEOUT = 5.0

MAX_WAITING = 16
"""Maximum documents waiting to be fetched, because anyone can cause a fetch."""

KEEP_FOR = timedelta(days=30)
RETRY_FOR = timedelta(hours=1)
RETRY_INTERVAL = timedelta(minutes=1)

_c = SnsDocument.__table__.c
_CLAIM = claiming(_c.url, _c.due_at)
_IS_DUE = sa.select(sa.exists().where(_c.due_at <= sa.bindparam("now")))


def fetched_certificate(url: str) -> str | None:
    """Return the certificate at a URL; if it hasn't been fetched yet, schedule that and return None."""
    pem = db.session.scalar(sa.select(_c.body).where(_c.url == url, _c.kind == CERTIFICATE))
    if not pem:
        _schedule(url, CERTIFICATE)
    return pem or None


def schedule_confirmation(url: str) -> None:
    """Have the worker confirm a subscription."""
    _schedule(url, CONFIRMATION)


def _schedule(url: str, kind: str) -> None:
    """Have the worker fetch a document. Commits separately, because the request may be rejected."""
    waiting = db.session.scalar(sa.select(sa.func.count()).where(_c.due_at.is_not(None))) or 0
    if waiting >= MAX_WAITING:
        log.warning("bounces.too_many_documents", waiting=waiting)
        return
    now = clock.now()
    row = {"url": url, "kind": kind, "body": "", "due_at": now, "created_at": now}
    statement = insert(SnsDocument.__table__).values(**row).on_conflict_do_nothing()
    db.session.execute(statement.execution_options(autocommit=True))


def fetch_due(stop: threading.Event) -> bool:
    """Fetch one due document; return whether there may be more."""
    if not settings.bounces_ses_topics or stop.is_set():
        return False
    if not db.session.scalar(_IS_DUE, {"now": clock.now()}):
        return False
    claimed = claim_rows(_CLAIM)
    db.session.close()  # don't hold a connection while waiting for another server
    for row in claimed:
        _fetch(row.url, row.kind)
    return bool(claimed)


def _fetch(url: str, kind: str) -> None:
    is_document = SnsDocument.url == url
    try:
        body = fetch(url, most=MAX_BYTES, within=FETCH_TIMEOUT, allows=is_public).body
    except Interrupted:
        execute_update(sa.update(SnsDocument).where(is_document).values(due_at=clock.now()))
        return
    except NotFetched as error:
        log.warning("bounces.not_fetched", kind=kind, reason=error.reason)
        created_before = clock.now() - (timedelta(0) if kind == CERTIFICATE else RETRY_FOR)  # ordered again when needed
        if not execute_update(sa.delete(SnsDocument).where(is_document, SnsDocument.created_at <= created_before)):
            execute_update(sa.update(SnsDocument).where(is_document).values(due_at=clock.now() + RETRY_INTERVAL))
        return
    if kind == CERTIFICATE:
        text = body.decode("ascii", "replace")
        execute_update(sa.update(SnsDocument).where(is_document).values(body=text, due_at=None))
    else:
        execute_update(sa.delete(SnsDocument).where(is_document))
        log.info("bounces.topic_confirmed")


def prune_documents() -> int:
    """Delete a batch of old documents."""
    return delete_batch(db.session, SnsDocument, SnsDocument.created_at < clock.now() - KEEP_FOR)
