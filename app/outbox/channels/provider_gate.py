"""When to use a provider again that doesn't respond, asked us to wait, or rejected us."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPMessage

import structlog

from app import clock


class Breaker:
    """Circuit breaker. Opens for ``seconds`` after consecutive ``failures``; then a single attempt decides."""

    def __init__(self, failures: int, seconds: float) -> None:
        self.failures = failures
        self.seconds = seconds
        self._in_a_row = 0
        self._opened_at = float("-inf")
        self._lock = threading.Lock()

    def wait(self) -> float:
        """Return the seconds until the next attempt is allowed; 0 for now."""
        return max(0.0, self._opened_at + self.seconds - clock.unix())

    def admit(self) -> float:
        """Return 0 to allow an attempt, else the seconds until one is allowed.

        When the open time is over, a single attempt is allowed. Unless it succeeds, the next one is ``seconds`` later.
        """
        if not self._is_open:
            return 0.0
        with self._lock:
            seconds = self.wait()
            if not seconds and self._is_open:
                self._opened_at = clock.unix()
            return seconds

    @property
    def _is_open(self) -> bool:
        return self._opened_at > float("-inf")

    def failed(self) -> bool:
        """Count a failure; return whether it opened the breaker."""
        with self._lock:
            self._in_a_row += 1
            if self._in_a_row < self.failures:
                return False
            self._opened_at = clock.unix()
            self._in_a_row = self.failures - 1
            return True

    def succeeded(self) -> bool:
        """Forget earlier failures; return whether that closed the breaker."""
        if not self._in_a_row:
            return False
        with self._lock:
            was_open, self._in_a_row, self._opened_at = self._is_open, 0, float("-inf")
            return was_open


log = structlog.get_logger()

MAX_WAIT = 3600.0
"""Maximum seconds to wait, whatever the provider asked for."""

DEFAULT_BACKOFF = (1.0, 60.0)
"""Initial and maximum backoff in seconds if Retry-After is missing or less than a second. Doubles each time."""

REFUSED_BACKOFF = (30.0, 300.0)
"""The same when the provider refuses us rather than a message."""

REFUSED_EXTRA_WAIT = 5.0
"""Extra seconds that a message refused in this way waits, so that others go first: it may itself be the cause."""


REFUSES_US = "provider refuses us"


class ProviderGate:
    """Tracks whether a provider of a channel can be used now. One instance per provider and process."""

    def __init__(self, channel: str, provider: str = "primary") -> None:
        self.channel = channel
        self.provider = provider
        self._lock = threading.Lock()
        self.open()

    def open(self) -> None:
        """Forget all failures."""
        with self._lock:
            self._until, self.reason = float("-inf"), ""
            self._waits_in_a_row, self._stops_in_a_row = 0, 0
            self._refused_messages: set[str] = set()

    @property
    def _log_fields(self) -> dict[str, str]:
        return {"channel": self.channel, "provider": self.provider}

    def record_success(self) -> None:
        """Record that the provider accepted a message."""
        if self._stops_in_a_row:
            log.info("channel.resumed", **self._log_fields)
        if self._waits_in_a_row or self._refused_messages:
            self.open()

    def wait(self) -> float:
        """Return the seconds until the provider may be used; 0 for now. ``reason`` says why."""
        return max(0.0, self._until - clock.unix())

    def record_wait(self, status: int, headers: HTTPMessage) -> float:
        """Record that the provider asked us to wait; return for how many seconds."""
        with self._lock:
            seconds = _retry_after(headers)
            if seconds is None or seconds < DEFAULT_BACKOFF[0]:
                seconds = min(DEFAULT_BACKOFF[1], DEFAULT_BACKOFF[0] * 2**self._waits_in_a_row)
            self._waits_in_a_row = min(self._waits_in_a_row + 1, 10)
            self._close(min(seconds, MAX_WAIT), f"provider asks to wait ({status})")
        log.warning("channel.waits", **self._log_fields, status=status, seconds=round(seconds, 1))
        return self.wait()

    def record_refusal(self, status: int, message_id: str, *, for_all: bool) -> float:
        """Record that the provider refuses us; return how many seconds this message must wait.

        :param for_all: whether the refusal can't be about this message. Otherwise only a second message refused in a
            row stops the channel, so that one number the provider doesn't serve doesn't block the others.
        """
        with self._lock:
            self._refused_messages.add(message_id)
            if not for_all and len(self._refused_messages) < 2:
                return REFUSED_BACKOFF[0]
            seconds: float = min(REFUSED_BACKOFF[1], REFUSED_BACKOFF[0] * 2**self._stops_in_a_row)
            self._stops_in_a_row = min(self._stops_in_a_row + 1, 10)
            self._close(seconds, refusal_reason(status))
        log.error("channel.stopped", **self._log_fields, status=status, seconds=seconds, remedy=remedy(status))
        return seconds + REFUSED_EXTRA_WAIT

    def _close(self, seconds: float, reason: str) -> None:
        self._until, self.reason = clock.unix() + seconds, reason


def refusal_reason(status: int) -> str:
    """Return the reason stored with a message when the provider refuses us."""
    return f"{REFUSES_US} ({status})"


REDIRECT_REMEDY = "Correct the URL of the SMS provider in the settings: it redirects, and no redirect is followed."

REMEDIES = {
    405: "Correct the URL of the SMS provider in the settings: what is there takes no POST.",
    401: "Check the credentials of the SMS provider in the settings.",
    402: "Top up the account at the SMS provider.",
    403: "Check the credentials of the SMS provider, and what its account may send.",
}
"""Remedies by the HTTP status with which a provider refuses us."""


def refuses_us(status: int) -> bool:
    """Return whether a status is about our credentials, URL or bill rather than a message."""
    return status in REMEDIES or 300 <= status < 400


def remedy(status: int) -> str:
    """Return what an operator can do about a provider that refuses us."""
    return REMEDIES.get(status, REDIRECT_REMEDY)


def remedy_for(reason: str) -> str:
    """Return the same for a reason returned by ``refusal_reason``."""
    return remedy(int("".join(filter(str.isdecimal, reason)) or 0))


def _retry_after(headers: HTTPMessage) -> float | None:
    """Return the seconds requested by Retry-After (RFC 9110, section 10.2.3); None if missing or invalid."""
    text = (headers.get("Retry-After") or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    until = _date(text)
    now = _date(headers.get("Date") or "") or clock.now()  # prefer the provider's clock, as clocks differ
    return max(0.0, (until - now).total_seconds()) if until else None


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
