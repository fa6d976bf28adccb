"""When to try again, and when to give up."""

from __future__ import annotations

from datetime import datetime, timedelta

FIRST_WAITS = tuple(timedelta(seconds=seconds) for seconds in (1, 5, 15, 30))
"""After the first failures; from then on the waits grow with the message's age."""

GROWTH = 4
"""A message waits for a quarter of its age; one that expires no longer than a quarter of the time it has left."""

LONGEST_WAIT = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=1)
"""How long a message that does not expire is tried: a mail server that is repaired within a day loses none."""

COSTLY_WAIT = timedelta(seconds=5)
MOST_COPIES = 2
"""Each further text message costs money, so what may have reached the provider is repeated once (same key)."""

LAST_CHANCE = timedelta(seconds=5)
"""No try is made closer than this to the end of a message's life."""


def next_attempt(
    attempts: int,
    now: datetime,
    *,
    written_at: datetime,
    expires_at: datetime | None,
    wait: timedelta = timedelta(0),
    costly: bool = False,
) -> datetime | None:
    """Return when to try again after ``attempts`` failed ones, or None to give up.

    :param wait: what the other side asks to be waited at least
    :param costly: whether it may have the message, and takes money for a copy
    """
    end = written_at + GIVE_UP_AFTER if expires_at is None else expires_at - LAST_CHANCE
    if costly:
        delay = COSTLY_WAIT
        if attempts >= MOST_COPIES:
            return None
    else:
        delay = max(FIRST_WAITS[min(attempts, len(FIRST_WAITS)) - 1], (now - written_at) / GROWTH)
        delay = min(delay, LONGEST_WAIT)
        if expires_at is not None:
            delay = min(delay, max((end - now) / GROWTH, LAST_CHANCE))
    due = now + max(delay, wait)
    return due if due <= end else None
