"""Trace spans of this process. A no-op unless ``enable`` was called.

A span only contains our own names and numbers, never a code, a token, an address, or the path of a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

Value = str | int | bool

_make: Callable[[], Any] | None = None
_tracer: Any = None
_tracer_lock = Lock()


def enable(make: Callable[[], Any]) -> None:
    """Record spans with the tracer returned by ``make``, which is called on the first span, after every fork."""
    global _make, _tracer
    _make, _tracer = make, None


def disable() -> None:
    """Stop recording spans."""
    global _make, _tracer
    _make = _tracer = None


def tracer() -> Any:
    """Return this process's tracer; None if spans are not recorded."""
    global _tracer
    if _tracer is None and _make is not None:
        with _tracer_lock:
            if _tracer is None:
                _tracer = _make()
    return _tracer


@contextmanager
def span(name: str, **attributes: Value) -> Iterator[Callable[[str, Value], object]]:
    """Record a block as a span. Yields a function that adds an attribute.

    Keyword names use "__" for a dot. Of an exception, only the type is recorded.
    """
    current_tracer = tracer()
    if current_tracer is None:
        yield _add_nothing
        return
    span_attributes = {key.replace("__", "."): value for key, value in attributes.items()}
    options = {"record_exception": False, "set_status_on_exception": False}
    with current_tracer.start_as_current_span(name, attributes=span_attributes, **options) as recorded:
        try:
            yield recorded.set_attribute
        except BaseException as error:
            recorded.set_attribute("error.type", type(error).__name__)
            raise


def _add_nothing(_name: str, _value: Value) -> None:
    return
