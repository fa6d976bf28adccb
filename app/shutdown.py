"""Signals that stop a process."""

import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType

Handler = Callable[[int, FrameType | None], None]


def event_set_by(*signals: signal.Signals) -> threading.Event:
    """Return an event that is set when this process receives one of ``signals``. Call it in the main thread."""
    stop = threading.Event()
    handler = handler_that(stop.set)
    for each in signals:
        signal.signal(each, handler)
    return stop


def handler_that(act: Callable[[], object]) -> Handler:
    """Return a signal handler that has a separate thread call ``act`` on the first signal.

    The handler doesn't call it directly because it interrupts the main thread at any point. If that is just entering or
    leaving a wait for an event that ``act`` sets, setting it would deadlock on a lock its own thread holds.
    ``SimpleQueue.put`` is reentrant and safe to call there.
    """
    asked: SimpleQueue[int] = SimpleQueue()

    def note(number: int, _frame: FrameType | None) -> None:
        asked.put(number)

    def pass_on() -> None:
        asked.get()
        act()

    threading.Thread(target=pass_on, name="stop-signals", daemon=True).start()
    return note
