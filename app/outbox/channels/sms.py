"""Text messages by HTTP: a provider of the operator's, or Twilio."""

from __future__ import annotations

import json
import re
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlencode, urlsplit

from app import clock
from app.extensions import settings
from app.outbox.channels.attempt import Failed, Postponed, cut_off_after, unreached
from app.outbox.channels.provider_gate import Breaker, ProviderGate, refusal, refuses_us
from config.types import read_headers

if TYPE_CHECKING:
    from app.outbox.models import Message
    from app.outbox.renderers import TextMessage

BUSY = frozenset((429, 503))
"""The provider took nothing, and says when to ask again (RFC 6585, section 4; RFC 9110, section 15.6.4)."""

UNTAKEN = frozenset((408, 425))
"""Answers that speak of the moment, not of the message, which was not taken (RFC 9110, section 15.5.9; RFC 8470)."""

LONGEST_BODY = 65536
"""Bytes of an answer that are looked at."""

breaker = Breaker(failures=5, seconds=60)
gate = ProviderGate("sms")


@dataclass(frozen=True)
class Request:
    """What is posted, and where."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    credentials: str = ""


@dataclass(frozen=True)
class Answer:
    """What the provider said."""

    status: int
    headers: HTTPMessage
    text: str = ""


def send(message: Message, text: TextMessage) -> None:
    """Hand one text message to the provider, or raise within ``LATCHKEY_SMS_TIMEOUT``.

    Repeats carry the same Idempotency-Key, so that a provider which knows it sends one message.
    :raises Postponed: while the provider rests after five failures in a row, wants us to wait, or refuses us
    :raises Failed: permanently when it refused the message (4xx); ``taken`` unless it never heard of it
    """
    if resting := max(breaker.wait(), gate.wait()):
        raise Postponed(resting, gate.reason or "channel rests")
    seconds = settings.sms_timeout.total_seconds()
    if message.expires_at is not None:
        seconds = min(seconds, (message.expires_at - clock.now()).total_seconds())
    request = _for_twilio(message, text) if settings.sms_provider == "twilio" else _for_any(message, text)
    try:
        answer = _post(request, message.id, seconds)
    except Failed:
        breaker.failed()
        raise
    _judge(answer, message.id)


def check() -> None:
    """Connect to the provider, as the next message would, and say nothing. Raises Failed."""
    parts = urlsplit(settings.twilio_url if settings.sms_provider == "twilio" else settings.sms_url)
    connection = _prepare_connection(parts.scheme, parts.hostname or "", parts.port)
    try:
        _connect(connection)
    finally:
        connection.close()


def _judge(answer: Answer, message_id: str) -> None:
    """Raise what an answer means that is no yes."""
    status = answer.status
    if status in BUSY:
        raise Postponed(gate.ask_later(status, answer.headers), f"provider asks to wait ({status})")
    if refuses_us(status):
        wait = gate.turn_away(status, message_id, for_all=status != 403)
        raise Postponed(wait, refusal(status))
    if status >= 500 or status in UNTAKEN:
        breaker.failed()
        raise Failed(f"provider failed ({status})", taken=status >= 500)
    breaker.succeeded()
    if not 200 <= status < 300:
        raise Failed(f"provider refused ({status})", permanent=True)
    if settings.sms_success and settings.sms_provider == "http" and not re.search(settings.sms_success, answer.text):
        raise Failed(f"provider answered {status} without success")
    gate.passed()


def _for_any(message: Message, text: TextMessage) -> Request:
    if not settings.sms_url:
        raise Failed("no SMS provider is set")
    body = json.dumps({"to": message.to, "text": text.body}).encode()
    credentials = unquote(urlsplit(settings.sms_url).netloc.rpartition("@")[0])
    headers = {"Content-Type": "application/json"} | dict(read_headers(settings.sms_headers.get_secret_value()))
    return Request(settings.sms_url, body, headers, credentials)


def _for_twilio(message: Message, text: TextMessage) -> Request:
    """A message as Twilio's Messages resource takes it; a sender MG... is a messaging service."""
    account, sender = settings.twilio_account_sid, settings.twilio_sender
    fields = {"To": message.to, "Body": text.body, "MessagingServiceSid" if sender.startswith("MG") else "From": sender}
    url = f"{settings.twilio_url.rstrip('/')}/2010-04-01/Accounts/{quote(account, safe='')}/Messages.json"
    credentials = f"{account}:{settings.twilio_auth_token.get_secret_value()}"
    return Request(url, urlencode(fields).encode(), {"Content-Type": "application/x-www-form-urlencoded"}, credentials)


def _post(request: Request, key: str, seconds: float) -> Answer:
    """Return the answer, with its body where the settings say how success looks. Redirects are not followed."""
    parts = urlsplit(request.url)
    headers = {"Idempotency-Key": key, "User-Agent": "Latchkey"}
    if request.credentials:
        headers["Authorization"] = "Basic " + b64encode(request.credentials.encode()).decode()
    headers |= request.headers
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = _prepare_connection(parts.scheme, parts.hostname or "", parts.port)
    try:
        with cut_off_after(seconds) as deadline:
            _connect(connection)
            connection.sock.settimeout(seconds)
            deadline.through(connection)
            deadline.hand_over()
            connection.request("POST", target, request.body, headers)
            answer = connection.getresponse()
            body = answer.read(LONGEST_BODY) if settings.sms_success else b""
            return Answer(answer.status, answer.headers, body.decode(errors="replace"))
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
    setting = "LATCHKEY_TWILIO_URL" if settings.sms_provider == "twilio" else "LATCHKEY_SMS_URL"
    try:
        connection.connect()
    except OSError as error:
        raise unreached("provider", setting, error) from error
