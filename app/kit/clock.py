"""What time it is. Every room asks here, so that a test can move all of them at once."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

_ahead = 0.0  # seconds by which this process's clock runs before the machine's; only tests change it


def unix() -> float:
    """Return the seconds since 1970-01-01T00:00:00Z, with fractions."""
    return time.time() + _ahead


def now() -> datetime:
    """Return the present moment as an aware datetime in UTC, to the microsecond."""
    return datetime.fromtimestamp(unix(), UTC)


def shift(seconds: float) -> None:
    """Move the clock of this process, all threads of it, until ``reset``.

    For tests. Shifts add up.
    :param seconds: forward, or backward when negative
    """
    global _ahead
    _ahead += seconds


def reset() -> None:
    """Show the machine's own time again."""
    global _ahead
    _ahead = 0.0


@contextmanager
def travel(seconds: float) -> Iterator[None]:
    """Run a block ``seconds`` later (or earlier, when negative), then come back.

    For tests. Journeys nest, and a shift made inside one ends with it.
    """
    global _ahead
    departed_from = _ahead
    _ahead += seconds
    try:
        yield
    finally:
        _ahead = departed_from
