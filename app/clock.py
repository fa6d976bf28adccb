"""The current time. All code asks here, so that a test can move it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

_ahead = 0.0  # seconds by which this process's clock runs before the machine's; only tests change it


_correction = 0.0  # seconds by which the machine's clock is behind the one that all processes go by


def unix() -> float:
    """Return the seconds since 1970-01-01T00:00:00Z, with fractions."""
    return time.time() + _correction + _ahead


def follow(seconds: float) -> None:
    """Go by a clock that is ``seconds`` ahead of the machine's, such as the database's, from now on."""
    global _correction
    _correction = seconds


def correction() -> float:
    """Return by how many seconds the machine's clock is behind the one that this process goes by."""
    return _correction


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
