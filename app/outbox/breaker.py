"""A circuit breaker: leave a provider alone for a while when it doesn't answer."""

from __future__ import annotations

import threading

from app import clock


class Breaker:
    """Opens after ``failures`` in a row and stays open for ``seconds``; then one more try decides."""

    def __init__(self, failures: int, seconds: float) -> None:
        self.failures = failures
        self.seconds = seconds
        self._in_a_row = 0
        self._opened_at = float("-inf")
        self._lock = threading.Lock()

    def wait(self) -> float:
        """Return the seconds until a try makes sense; 0 when it does now."""
        return max(0.0, self._opened_at + self.seconds - clock.unix())

    def failed(self) -> bool:
        """Count a failure; return whether it opened the breaker."""
        with self._lock:
            self._in_a_row += 1
            if self._in_a_row < self.failures:
                return False
            self._opened_at = clock.unix()
            self._in_a_row = self.failures - 1
            return True

    def succeeded(self) -> None:
        """Forget earlier failures."""
        if self._in_a_row:
            with self._lock:
                self._in_a_row = 0
                self._opened_at = float("-inf")
