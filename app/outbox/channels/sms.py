"""Text messages over HTTP, through any provider with an HTTP API or Twilio."""

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
from app.outbox.channels.attempt import PROVIDER, TEMPORARY, Failed, Postponed, connection_failure, cut_off_after
from app.outbox.channels.failover import FALLBACK, PRIMARY, Provider
from app.outbox.channels.provider_gate import refusal_reason, refuses_us
from config.types import read_headers

if TYPE_CHECKING:
    from app.outbox.models import Message
    from app.outbox.renderers import TextMessage

BUSY = frozenset((429, 503))
"""The provider didn't accept the message and may say when to retry (RFC 6585, section 4; RFC 9110, section 15.6.4)."""

NOT_ACCEPTED = frozenset((408, 425))
"""Temporary errors, not caused by the message, which was not accepted (RFC 9110, section 15.5.9; RFC 8470)."""

MAX_BODY_BYTES = 65536
"""Maximum bytes read of a response body."""

MAYBE_ACCEPTED = frozenset((502, 504))
"""A gateway in front of the provider got no valid response. The provider may have the message (RFC 9110, section
15.6.3)."""

FAILURES = 5
"""Consecutive failures after which a provider is skipped for a minute."""

providers = failover.pair("sms", FAILURES)


@dataclass(frozen=True)
class Access:
    """How to reach a provider.

    :ivar setting: environment variable that holds its URL
    :ivar headers: in the format of ``read_headers``
    :ivar success: regular expression that the response body must match; "" for any
    """

    url: str
    setting: str
    headers: str = ""
    success: str = ""
    is_twilio: bool = False


def accesses() -> dict[str, Access]:
    """Return how to reach the configured providers, by name, in the order they are tried."""
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
    """A POST request to a provider."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    credentials: str = ""


@dataclass(frozen=True)
class ProviderResponse:
    """A provider's response."""

    status: int
    headers: HTTPMessage
    text: str = ""


def send(message: Message, text: TextMessage) -> str:
    """Send one text message through the first provider that accepts it and return its name, or raise.

    Each provider has ``LATCHKEY_SMS_TIMEOUT`` to accept it. Retries carry the same Idempotency-Key, so that a provider
    that supports it sends the message only once.

    :raises Postponed: while every provider is skipped after five consecutive failures, asks us to wait, or refuses us
    :raises Failed: permanently when the provider refused the message (4xx); ``taken`` unless it can't have received it
    """
    available = accesses()
    if not available:
        raise Failed("no SMS provider is set")
    sender, _ = failover.send_by(
        [providers[name] for name in available],
        lambda provider: _send_by(provider, available[provider.name], message, text),
    )
    return sender


def _send_by(provider: Provider, access: Access, message: Message, text: TextMessage) -> None:
    """Send a text message through one provider, or raise as ``send``."""
    seconds = settings.sms_timeout.total_seconds()
    if message.expires_at is not None:
        seconds = min(seconds, (message.expires_at - clock.now()).total_seconds())
    request = _twilio_request(message, text) if access.is_twilio else _generic_request(access, message, text)
    _check_response(provider, access, _post(request, access, message.id, seconds), message.id)


def check(name: str = PRIMARY) -> None:
    """Connect to a provider as the next message would, without sending anything. Raises Failed."""
    access = accesses()[name]
    parts = urlsplit(access.url)
    connection = _prepare_connection(parts.scheme, parts.hostname or "", parts.port)
    try:
        _connect(connection, access)
    finally:
        connection.close()


def _check_response(provider: Provider, access: Access, response: ProviderResponse, message_id: str) -> None:
    """Raise Failed or Postponed unless the response means success."""
    status, gate = response.status, provider.gate
    if status in BUSY:
        raise Postponed(gate.record_wait(status, response.headers), f"provider asks to wait ({status})")
    if refuses_us(status):
        wait = gate.record_refusal(status, message_id, for_all=status != 403)
        raise Postponed(wait, refusal_reason(status))
    if status >= 500 or status in NOT_ACCEPTED:
        raise Failed(f"provider failed ({status})", maybe_accepted=_maybe_accepted(status), fault=PROVIDER)
    if not 200 <= status < 300:
        raise Failed(f"provider refused ({status})", permanent=True)
    if access.success and not re.search(access.success, response.text):
        raise Failed(f"provider answered {status} without success", fault=TEMPORARY)
    gate.record_success()


def _maybe_accepted(status: int) -> bool:
    """Return whether a provider that failed may have accepted the message anyway.

    With a second provider, trust the status 5xx and fail over, since delivery matters more than avoiding a duplicate.
    """
    return status in MAYBE_ACCEPTED or (status >= 500 and len(accesses()) == 1)


def _generic_request(access: Access, message: Message, text: TextMessage) -> Request:
    body = json.dumps({"to": message.to, "text": text.body}).encode()
    credentials = unquote(urlsplit(access.url).netloc.rpartition("@")[0])
    headers = {"Content-Type": "application/json"} | dict(read_headers(access.headers))
    return Request(access.url, body, headers, credentials)


def _twilio_request(message: Message, text: TextMessage) -> Request:
    """Return the request for Twilio's Messages resource. A sender ``MG...`` is a messaging service."""
    account, sender = settings.twilio_account_sid, settings.twilio_sender
    fields = {"To": message.to, "Body": text.body, "MessagingServiceSid" if sender.startswith("MG") else "From": sender}
    url = f"{settings.twilio_url.rstrip('/')}/2010-04-01/Accounts/{quote(account, safe='')}/Messages.json"
    credentials = f"{account}:{settings.twilio_auth_token.get_secret_value()}"
    return Request(url, urlencode(fields).encode(), {"Content-Type": "application/x-www-form-urlencoded"}, credentials)


def _post(request: Request, access: Access, key: str, seconds: float) -> ProviderResponse:
    """Return the response, with its body if the settings define a success pattern. Redirects are not followed."""
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
            deadline.attach(connection)
            deadline.hand_over()
            connection.request("POST", target, request.body, headers)
            response = connection.getresponse()
            body = response.read(MAX_BODY_BYTES) if access.success else b""
            return ProviderResponse(response.status, response.headers, body.decode(errors="replace"))
    except (OSError, HTTPException) as error:
        raise Failed(f"provider broke off ({type(error).__name__})", maybe_accepted=True, fault=PROVIDER) from error
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
        raise connection_failure("provider", access.setting, error) from error
