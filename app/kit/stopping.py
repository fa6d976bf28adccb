"""How a process is told to stop."""

import signal
import threading
from queue import SimpleQueue
from types import FrameType


def event_set_by(*signals: signal.Signals) -> threading.Event:
    """Return an event that is set once this process is sent one of ``signals``. To be called in the main thread.

    The handler itself does not set it: it runs in the midst of what the main thread does, and when that is the
    beginning or end of a wait for this very event, ``set`` waits for a lock that its own thread holds, for ever.
    ``SimpleQueue.put`` may be called there; a thread of its own does the rest.
    """
    stop = threading.Event()
    asked: SimpleQueue[int] = SimpleQueue()

    def note(number: int, _frame: FrameType | None) -> None:
        asked.put(number)

    def pass_on() -> None:
        asked.get()
        stop.set()

    threading.Thread(target=pass_on, name="stop-signals", daemon=True).start()
    for each in signals:
        signal.signal(each, note)
    return stop
