"""Signals that stop a process."""

import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType

Handler = Callable[[int, FrameType | None], None]


def event_set_by(*signals: signal.Signals) -> threading.Event:
    """Return an event that is set once this process is sent one of ``signals``. To be called in the main thread."""
    stop = threading.Event()
    handler = handler_that(stop.set)
    for each in signals:
        signal.signal(each, handler)
    return stop


def handler_that(act: Callable[[], object]) -> Handler:
    """Return a handler of signals that has ``act`` called, by a thread of its own, at the first of them.

    The handler itself does not: it runs in the midst of what the main thread does. When that is the beginning or end
    of a wait for an event that ``act`` sets, setting it waits for a lock that its own thread holds, forever.
    ``SimpleQueue.put`` may be called there.
    """
    asked: SimpleQueue[int] = SimpleQueue()

    def note(number: int, _frame: FrameType | None) -> None:
        asked.put(number)

    def pass_on() -> None:
        asked.get()
        act()

    threading.Thread(target=pass_on, name="stop-signals", daemon=True).start()
    return note
