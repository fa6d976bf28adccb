"""Text messages by HTTP: a provider of the operator's, or Twilio."""

from __future__ import annotations

import json
import ssl
from base64 import b64encode
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlencode, urlsplit

from app.extensions import settings
from app.kit import clock
from app.outbox.breaker import Breaker
from app.outbox.channels.cutoff import cut_off_after
from app.outbox.channels.failures import Failed, Postponed

if TYPE_CHECKING:
    from app.outbox.letters import Text
    from app.outbox.models import Message

WORTH_A_RETRY = frozenset((408, 425, 429))
"""Answers of the 4xx range that speak of the moment, not of the message (RFC 9110, 6585, 8470)."""

breaker = Breaker(failures=5, seconds=60)


@dataclass(frozen=True)
class Request:
    """What is posted, and where."""

    url: str
    body: bytes
    content_type: str
    credentials: str = ""


def send(message: Message, text: Text) -> None:
    """Hand one text message to the provider, or raise within ``LATCHKEY_SMS_TIMEOUT``.

    Repeats carry the same Idempotency-Key, so that a provider which knows it sends one message.
    :raises Postponed: while the provider rests, after five failures in a row
    :raises Failed: permanently when it refused the message (4xx); ``taken`` unless it never heard of it
    """
    if resting := breaker.wait():
        raise Postponed(resting)
    seconds = settings.sms_timeout.total_seconds()
    if message.expires_at is not None:
        seconds = min(seconds, (message.expires_at - clock.now()).total_seconds())
    request = _for_twilio(message, text) if settings.sms_provider == "twilio" else _for_any(message, text)
    try:
        status = _post(request, message.id, seconds)
    except Failed:
        breaker.failed()
        raise
    if status >= 500 or status in WORTH_A_RETRY:
        breaker.failed()
        raise Failed(f"provider failed ({status})", taken=True)
    breaker.succeeded()
    if not 200 <= status < 300:
        raise Failed(f"provider refused ({status})", permanent=True)


def _for_any(message: Message, text: Text) -> Request:
    if not settings.sms_url:
        raise Failed("no SMS provider is set")
    body = json.dumps({"to": message.to, "text": text.body}).encode()
    credentials = unquote(urlsplit(settings.sms_url).netloc.rpartition("@")[0])
    return Request(settings.sms_url, body, "application/json", credentials)


def _for_twilio(message: Message, text: Text) -> Request:
    """A message as Twilio's Messages resource takes it; a sender MG... is a messaging service."""
    account, sender = settings.twilio_account_sid, settings.twilio_sender
    fields = {"To": message.to, "Body": text.body, "MessagingServiceSid" if sender.startswith("MG") else "From": sender}
    url = f"{settings.twilio_url.rstrip('/')}/2010-04-01/Accounts/{quote(account, safe='')}/Messages.json"
    credentials = f"{account}:{settings.twilio_auth_token.get_secret_value()}"
    return Request(url, urlencode(fields).encode(), "application/x-www-form-urlencoded", credentials)


def _post(request: Request, key: str, seconds: float) -> int:
    """Return the status of the answer; its body is not looked at. Redirects are not followed."""
    parts = urlsplit(request.url)
    headers = {"Content-Type": request.content_type, "Idempotency-Key": key, "User-Agent": "Latchkey"}
    if request.credentials:
        headers["Authorization"] = "Basic " + b64encode(request.credentials.encode()).decode()
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = _prepare_connection(parts.scheme, parts.hostname or "", parts.port)
    try:
        with cut_off_after(seconds) as conversation:
            _connect(connection)
            connection.sock.settimeout(seconds)
            conversation.through(connection)
            conversation.hand_over()
            connection.request("POST", target, request.body, headers)
            return connection.getresponse().status
    except (OSError, HTTPException) as error:
        raise Failed(f"provider broke off ({type(error).__name__})", taken=True) from error
    finally:
        connection.close()


def _prepare_connection(scheme: str, host: str, port: int | None) -> HTTPConnection:
    timeout = settings.sms_connect_timeout.total_seconds()
    if scheme == "https":
        return HTTPSConnection(host, port, timeout=timeout, context=ssl.create_default_context())
    return HTTPConnection(host, port, timeout=timeout)


def _connect(connection: HTTPConnection) -> None:
    try:
        connection.connect()
    except OSError as error:
        raise Failed(f"provider unreachable ({type(error).__name__})") from error
