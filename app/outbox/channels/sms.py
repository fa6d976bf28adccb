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
from app.outbox.channels import failover
from app.outbox.channels.attempt import MOMENT, PROVIDER, Failed, Postponed, cut_off_after, unreached
from app.outbox.channels.failover import FALLBACK, PRIMARY, Provider
from app.outbox.channels.provider_gate import refusal, refuses_us
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

UNCLEAR = frozenset((502, 504))
"""What stands before the provider did not hear from it: it may have the message (RFC 9110, section 15.6.3)."""

FAILURES = 5
"""In a row, after which a provider rests for a minute."""

providers = failover.pair("sms", FAILURES)


@dataclass(frozen=True)
class Access:
    """How a provider is reached.

    :ivar setting: the variable with its URL
    :ivar headers: as ``read_headers`` reads them
    :ivar success: the expression that the body of its answer matches; "" for any
    """

    url: str
    setting: str
    headers: str = ""
    success: str = ""
    is_twilio: bool = False


def accesses() -> dict[str, Access]:
    """Return how the providers that are set are reached, by name, the one that is asked first before the other."""
    twilio = Access(settings.twilio_url, "LATCHKEY_TWILIO_URL", is_twilio=True)
    found: dict[str, Access] = {}
    if settings.sms_provider == "twilio":
        found[PRIMARY] = twilio
    elif settings.sms_url:
        headers = settings.sms_headers.get_secret_value()
        found[PRIMARY] = Access(settings.sms_url, "LATCHKEY_SMS_URL", headers, settings.sms_success)
    if settings.sms_fallback_provider == "twilio":
        found[FALLBACK] = twilio
    elif settings.sms_fallback_url:
        headers, success = settings.sms_fallback_headers.get_secret_value(), settings.sms_fallback_success
        found[FALLBACK] = Access(settings.sms_fallback_url, "LATCHKEY_SMS_FALLBACK_URL", headers, success)
    return found


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


def send(message: Message, text: TextMessage) -> str:
    """Hand one text message to the first provider that takes it and return its name, or raise.

    Each has ``LATCHKEY_SMS_TIMEOUT`` for it.

    Repeats carry the same Idempotency-Key, so that a provider which knows it sends one message.
    :raises Postponed: while each rests after five failures in a row, wants us to wait, or refuses us
    :raises Failed: permanently when it refused the message (4xx); ``taken`` unless it never heard of it
    """
    known = accesses()
    if not known:
        raise Failed("no SMS provider is set")
    sender, _ = failover.send_by(
        [providers[name] for name in known], lambda provider: _send_by(provider, known[provider.name], message, text)
    )
    return sender


def _send_by(provider: Provider, access: Access, message: Message, text: TextMessage) -> None:
    """Hand a text message to one provider, or raise as ``send``."""
    seconds = settings.sms_timeout.total_seconds()
    if message.expires_at is not None:
        seconds = min(seconds, (message.expires_at - clock.now()).total_seconds())
    request = _for_twilio(message, text) if access.is_twilio else _for_any(access, message, text)
    _judge(provider, access, _post(request, access, message.id, seconds), message.id)


def check(name: str = PRIMARY) -> None:
    """Connect to a provider, as the next message would, and say nothing. Raises Failed."""
    access = accesses()[name]
    parts = urlsplit(access.url)
    connection = _prepare_connection(parts.scheme, parts.hostname or "", parts.port)
    try:
        _connect(connection, access)
    finally:
        connection.close()


def _judge(provider: Provider, access: Access, answer: Answer, message_id: str) -> None:
    """Raise what an answer means that is no yes."""
    status, gate = answer.status, provider.gate
    if status in BUSY:
        raise Postponed(gate.ask_later(status, answer.headers), f"provider asks to wait ({status})")
    if refuses_us(status):
        wait = gate.turn_away(status, message_id, for_all=status != 403)
        raise Postponed(wait, refusal(status))
    if status >= 500 or status in UNTAKEN:
        raise Failed(f"provider failed ({status})", taken=_may_have_it(status), fault=PROVIDER)
    if not 200 <= status < 300:
        raise Failed(f"provider refused ({status})", permanent=True)
    if access.success and not re.search(access.success, answer.text):
        raise Failed(f"provider answered {status} without success", fault=MOMENT)
    gate.passed()


def _may_have_it(status: int) -> bool:
    """Say whether a provider that failed may have the message all the same.

    With a second provider, its own word that it failed is believed: the message is worth more than a copy saved.
    """
    return status in UNCLEAR or (status >= 500 and len(accesses()) == 1)


def _for_any(access: Access, message: Message, text: TextMessage) -> Request:
    body = json.dumps({"to": message.to, "text": text.body}).encode()
    credentials = unquote(urlsplit(access.url).netloc.rpartition("@")[0])
    headers = {"Content-Type": "application/json"} | dict(read_headers(access.headers))
    return Request(access.url, body, headers, credentials)


def _for_twilio(message: Message, text: TextMessage) -> Request:
    """A message as Twilio's Messages resource takes it; a sender MG... is a messaging service."""
    account, sender = settings.twilio_account_sid, settings.twilio_sender
    fields = {"To": message.to, "Body": text.body, "MessagingServiceSid" if sender.startswith("MG") else "From": sender}
    url = f"{settings.twilio_url.rstrip('/')}/2010-04-01/Accounts/{quote(account, safe='')}/Messages.json"
    credentials = f"{account}:{settings.twilio_auth_token.get_secret_value()}"
    return Request(url, urlencode(fields).encode(), {"Content-Type": "application/x-www-form-urlencoded"}, credentials)


def _post(request: Request, access: Access, key: str, seconds: float) -> Answer:
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
            _connect(connection, access)
            connection.sock.settimeout(seconds)
            deadline.through(connection)
            deadline.hand_over()
            connection.request("POST", target, request.body, headers)
            answer = connection.getresponse()
            body = answer.read(LONGEST_BODY) if access.success else b""
            return Answer(answer.status, answer.headers, body.decode(errors="replace"))
    except (OSError, HTTPException) as error:
        raise Failed(f"provider broke off ({type(error).__name__})", taken=True, fault=PROVIDER) from error
    finally:
        connection.close()


def _prepare_connection(scheme: str, host: str, port: int | None) -> HTTPConnection:
    timeout = settings.sms_connect_timeout.total_seconds()
    if scheme == "https":
        return HTTPSConnection(host, port, timeout=timeout, context=ssl.create_default_context())
    return HTTPConnection(host, port, timeout=timeout)


def _connect(connection: HTTPConnection, access: Access) -> None:
    try:
        connection.connect()
    except OSError as error:
        raise unreached("provider", access.setting, error) from error
