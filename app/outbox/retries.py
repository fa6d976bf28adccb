"""When to try again, and when to give up."""

from __future__ import annotations

from datetime import datetime, timedelta

MAIL_DELAYS = tuple(timedelta(seconds=seconds) for seconds in (1, 5, 30, 120, 600))
SMS_DELAYS = (timedelta(seconds=5),)
"""Each further text message costs money, so what may have reached the provider is repeated once (same key)."""

LAST_CHANCE = timedelta(seconds=5)
"""No try is planned closer than this to the end of a message's life."""


def next_attempt(
    delays: tuple[timedelta, ...], attempts: int, now: datetime, expires_at: datetime | None, wait: float = 0.0
) -> datetime | None:
    """Return when to try again after ``attempts`` failed ones, or None to give up.

    A try that would come after the message's end is moved to half of what is left of its life, but not before
    ``wait`` seconds have passed.
    """
    if attempts > len(delays):
        return None
    earliest = now + timedelta(seconds=wait)
    due = max(now + delays[attempts - 1], earliest)
    if expires_at is None:
        return due
    if due > expires_at - LAST_CHANCE:
        due = max(now + (expires_at - now) / 2, earliest)
    return due if due <= expires_at - LAST_CHANCE else None
