"""Mailgun: a JSON event, with a signature that covers a timestamp and a token, but not the event."""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta

import sqlalchemy as sa
from flask import Request
from sqlalchemy.dialects.postgresql import insert  # SQLite accepts this INSERT as well

from app import clock
from app.bounces import payloads
from app.bounces.models import HookToken
from app.bounces.payloads import WebhookRejected
from app.crypto.secrets import same
from app.db.retention import delete_batch
from app.extensions import db, settings
from app.outbox.suppressions import COMPLAINT, HARD, SOFT, Report, code_in, kind_of

NAME = "mailgun"

MAX_AGE = timedelta(hours=24)
"""Maximum age of a signature. Mailgun retries failed deliveries for eight hours."""

MAX_CLOCK_SKEW = timedelta(minutes=5)

COMPLAINTS = ("suppress-complaint", "suppress-unsubscribe")
NOT_ABOUT_ADDRESS = ("old", "suppress-unknown", "espblock")
"""Reasons for a permanent failure that say nothing about the address: retried for too long, or we are blocked."""


def is_set_up() -> bool:
    return bool(settings.bounces_mailgun_key.get_secret_value())


def read(request: Request) -> list[Report]:
    """Return the reports in a request; none if it is a duplicate. Raises WebhookRejected."""
    body = request.get_data()
    payload = payloads.read(body)
    if not _is_first(*_check(payloads.part(payload, "signature")), body):
        return []
    event = payloads.part(payload, "event-data")
    status = payloads.part(event, "delivery-status")
    code = code_in(status.get("enhanced-code"), status.get("code"), status.get("message"))
    kind = _kind(payloads.text(event, "event"), payloads.text(event, "severity"), payloads.text(event, "reason"), code)
    name = payloads.text(event, "id")
    return [Report(payloads.text(event, "recipient"), kind, NAME, name, code)] if kind and name else []


def _check(signature: dict[str, object]) -> tuple[str, float]:
    """Verify a signature; return its token and timestamp. Raises WebhookRejected."""
    time, token, given = (payloads.text(signature, name) for name in ("timestamp", "token", "signature"))
    if not (time and token and given):
        raise WebhookRejected("signature_missing", 401)
    key = settings.bounces_mailgun_key.get_secret_value().encode()
    expected = hmac.new(key, (time + token).encode("utf-8", "replace"), hashlib.sha256).hexdigest()
    parent = payloads.text(signature, "parent-signature")
    if not (same(given, expected) or (parent and same(parent, expected))):
        raise WebhookRejected("signature_wrong")
    if not time.isascii() or not time.isdigit() or len(time) > 12:
        raise WebhookRejected("signature_wrong")
    if not -MAX_CLOCK_SKEW.total_seconds() < clock.unix() - int(time) < MAX_AGE.total_seconds():
        raise WebhookRejected("signature_too_old")
    return token, float(time)


def _is_first(token: str, signed_at: float, body: bytes) -> bool:
    """Record that a token was used; return False if this is a duplicate of an earlier request.

    :raises WebhookRejected: when the token was used with a different event, which the signature doesn't cover
    """
    name, digest = hashlib.sha256(token.encode("utf-8", "replace")).hexdigest(), hashlib.sha256(body).hexdigest()
    row = {"token": name, "body": digest, "until": clock.now() + MAX_AGE + MAX_CLOCK_SKEW}
    statement = insert(HookToken.__table__).values(**row).on_conflict_do_nothing()
    if db.session.scalar(statement.returning(HookToken.__table__.c.token)):
        return True
    if db.session.scalar(sa.select(HookToken.body).where(HookToken.token == name)) != digest:
        raise WebhookRejected("token_used")
    return False


def prune_tokens() -> int:
    """Delete a batch of tokens whose signatures are too old to be accepted again."""
    return delete_batch(db.session, HookToken, HookToken.until < clock.now())


def _kind(event: str, severity: str, reason: str, code: str) -> str:
    if event == "complained" or (event == "failed" and reason in COMPLAINTS):
        return COMPLAINT
    if event != "failed":
        return ""
    if severity != "permanent" or reason in NOT_ABOUT_ADDRESS:
        return SOFT
    return HARD if reason == "suppress-bounce" else kind_of(code, HARD)
