"""Requests of mail providers: each with its signature, and bodies from their documentation."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

POSTMARK_SECRET = "postmark-secret-of-tests"
MAILGUN_KEY = "mailgun-key-of-these-tests"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:bounces"
CERTIFICATE_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem"
SENDGRID_KEY = ec.generate_private_key(ec.SECP256R1())
SENDGRID_PUBLIC = base64.b64encode(
    SENDGRID_KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
).decode()

SETTINGS: dict[str, Any] = {
    "bounces_postmark_secret": POSTMARK_SECRET,
    "bounces_mailgun_key": MAILGUN_KEY,
    "bounces_ses_topics": (TOPIC,),
    "bounces_sendgrid_key": SENDGRID_PUBLIC,
}


@pytest.fixture
def settings_values(settings_values):
    return settings_values | SETTINGS


class Hooks:
    """Posts as the providers do. Each method returns the answer."""

    def __init__(self, client: Any, clock: Any) -> None:
        self.client = client
        self.clock = clock
        self.numbers = 0

    def post(self, provider: str, body: Any, headers: dict[str, str] | None = None, kind: str = "application/json"):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(f"/hooks/mail/{provider}", data=raw, headers=headers or {}, content_type=kind)

    def postmark(self, secret: str | None = POSTMARK_SECRET, **changes: Any):
        headers = {} if secret is None else {"Authorization": f"Basic {_base64(f'latchkey:{secret}')}"}
        return self.post("postmark", postmark_bounce() | changes, headers)

    def mailgun(
        self, event: Any, *, key: str = MAILGUN_KEY, age: float = 0, token: str = "", at: float = 0, **more: Any
    ):
        self.numbers += 1
        token = token or f"{self.numbers:050}"
        time = str(int((at or self.clock.unix()) - age))
        signature = hmac.new(key.encode(), (time + token).encode(), hashlib.sha256).hexdigest()
        signed = {"timestamp": time, "token": token, "signature": signature} | more
        return self.post("mailgun", {"signature": signed, "event-data": event})

    def sendgrid(self, events: Any, *, age: float = 0, key: Any = SENDGRID_KEY, tampered: bytes = b""):
        body = json.dumps(events, separators=(",", ":")).encode() + b"\r\n"
        time = str(int(self.clock.unix() - age))
        signature = base64.b64encode(key.sign(time.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()
        headers = {
            "X-Twilio-Email-Event-Webhook-Signature": signature,
            "X-Twilio-Email-Event-Webhook-Timestamp": time,
        }
        return self.post("sendgrid", tampered or body, headers)

    def ses(self, message: Any, **changes: Any):
        return self.post("ses", self.envelope(message, **changes), kind="text/plain; charset=UTF-8")

    def envelope(self, message: Any, *, version: str = "1", tampered: dict[str, str] | None = None, **changes: Any):
        text = message if isinstance(message, str) else json.dumps(message)
        given = {
            "Type": "Notification", "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "TopicArn": TOPIC,
            "Message": text, "Timestamp": self.clock.now().strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "SignatureVersion": version, "SigningCertURL": CERTIFICATE_URL,
        }  # fmt: skip
        given |= changes
        return given | {"Signature": sns_signature(given, version)} | (tampered or {})


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def hooks(client, clock) -> Hooks:
    return Hooks(client, clock)


SNS_KEY = rsa.generate_private_key(65537, 2048)
SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}


def sns_signature(given: dict[str, str], version: str) -> str:
    names = SIGNED.get(given["Type"], SIGNED["Notification"])
    signed = "".join(f"{name}\n{given[name]}\n" for name in names if name in given).encode()
    algorithm = hashes.SHA256() if version == "2" else hashes.SHA1()
    return base64.b64encode(SNS_KEY.sign(signed, padding.PKCS1v15(), algorithm)).decode()


def certificate(clock: Any, name: str = "sns.amazonaws.com", days: int = 300, key: Any = None) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = clock.now()
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
    builder = builder.public_key((key or SNS_KEY).public_key()).serial_number(7)
    builder = builder.not_valid_before(now - timedelta(days=400)).not_valid_after(now + timedelta(days=days))
    return builder.sign(SNS_KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def postmark_bounce() -> dict[str, Any]:
    return {
        "RecordType": "Bounce", "ID": 42, "Type": "HardBounce", "TypeCode": 1, "Name": "Hard bounce", "Tag": "Test",
        "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483", "ServerID": 23, "MessageStream": "outbound",
        "Description": "The server was unable to deliver your message (ex: unknown user, mailbox not found).",
        "Details": "smtp;550 5.1.1 The email account that you tried to reach does not exist.",
        "Email": "ada@example.com", "From": "no-reply@latchkey.test", "BouncedAt": "2026-08-01T13:28:10.2735393-04:00",
        "DumpAvailable": True, "Inactive": True, "CanActivate": True, "Subject": "Your code", "Metadata": {},
    }  # fmt: skip


def ses_bounce(
    *addresses: str, kind: str = "Permanent", code: str = "5.1.1", name: str = "00000138-1"
) -> dict[str, Any]:
    people = [
        {
            "emailAddress": each,
            "status": code,
            "action": "failed",
            "diagnosticCode": f"smtp; 550 {code} <{each}>... User",
        }
        for each in addresses
    ]
    bounce = {
        "bounceType": kind, "bounceSubType": "General", "bouncedRecipients": people, "feedbackId": name,
        "timestamp": "2016-01-27T14:59:38.237Z", "reportingMTA": "dns; email.example.com", "remoteMtaIp": "127.0.2.0",
    }  # fmt: skip
    return {"notificationType": "Bounce", "bounce": bounce, "mail": {"source": "john@example.com"}}


def mailgun_failure(address: str = "ada@example.com", **changes: Any) -> dict[str, Any]:
    return {
        "id": "G9Bn5sl1TC6nu79C8C0bwg", "event": "failed", "severity": "permanent", "reason": "bounce",
        "timestamp": 1521233195.375624, "log-level": "error", "recipient": address, "recipient-domain": "example.com",
        "delivery-status": {
            "attempt-no": 1, "code": 550, "enhanced-code": "5.1.1", "description": "", "session-seconds": 0.4,
            "message": "5.1.1 The email account that you tried to reach does not exist",
        },
        "message": {"headers": {"to": address, "message-id": "20130503192659.13651.20287@mg.example.com"}, "size": 9},
        "flags": {"is-routed": False, "is-authenticated": True}, "tags": [], "user-variables": {},
    } | changes  # fmt: skip


def sendgrid_event(address: str = "ada@example.com", **changes: Any) -> dict[str, Any]:
    return {
        "email": address, "event": "bounce", "type": "bounce", "ip": "192.0.2.7", "bounce_classification": "Invalid",
        "reason": "550 5.1.1 The email account that you tried to reach does not exist.", "status": "5.1.1",
        "sg_event_id": "Ym91bmNlLTA", "sg_message_id": "qNwBLgPQQjW6DJvKQwSAbw.filterdrecv", "timestamp": 1619651146,
        "smtp-id": "<qNwBLgPQQjW6DJvKQwSAbw@ismtpd0178p1mdw1.sendgrid.net>", "tls": 1,
    } | changes  # fmt: skip
