"""The current time. All code gets it from here, so that tests can shift it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

_shift = 0.0  # seconds added to this process's clock; only tests change it


_correction = 0.0  # seconds by which the machine's clock is behind the clock shared by all processes


def unix() -> float:
    """Return the Unix time in seconds, with fractions."""
    return time.time() + _correction + _shift


def follow(seconds: float) -> None:
    """Follow a clock that is ``seconds`` ahead of the machine's, such as the database's, from now on."""
    global _correction
    _correction = seconds


def correction() -> float:
    """Return by how many seconds the machine's clock is behind the one this process follows."""
    return _correction


def now() -> datetime:
    """Return the current time as an aware UTC datetime with microseconds."""
    return datetime.fromtimestamp(unix(), UTC)


def shift(seconds: float) -> None:
    """Shift the clock of this process, in all threads, until ``reset``.

    For tests. Shifts add up.

    :param seconds: forward, or backward if negative
    """
    global _shift
    _shift += seconds


def reset() -> None:
    """Undo all shifts."""
    global _shift
    _shift = 0.0


@contextmanager
def travel(seconds: float) -> Iterator[None]:
    """Run a block with the clock shifted by ``seconds`` (backward if negative).

    For tests. Blocks can be nested, and shifts made inside a block end with it.
    """
    global _shift
    shift_before = _shift
    _shift += seconds
    try:
        yield
    finally:
        _shift = shift_before
