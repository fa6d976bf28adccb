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


def handler_that(action: Callable[[], object]) -> Handler:
    """Return a signal handler that has a separate thread call ``action`` on the first signal.

    The handler doesn't call it directly because it interrupts the main thread at any point. If that is just entering or
    leaving a wait for an event that ``action`` sets, setting it would deadlock on a lock its own thread holds.
    ``SimpleQueue.put`` is reentrant and safe to call there.
    """
    received_signals: SimpleQueue[int] = SimpleQueue()

    def handle(number: int, _frame: FrameType | None) -> None:
        received_signals.put(number)

    def run_action() -> None:
        received_signals.get()
        action()

    threading.Thread(target=run_action, name="stop-signals", daemon=True).start()
    return handle
