"""Metrics of this process: declared here, incremented where things happen, and read by a scrape.

Off until ``turn_on``; while off, incrementing costs one comparison. Each metric has a bounded number of series, so that
user input can't create more of them. docs/monitoring.md explains each metric.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from itertools import product
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

OTHER: Final = "other"
"""Replaces all label values beyond the limit."""

METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
"""Methods counted by name, since clients may send any word."""

_ALL: list[Metric] = []
_registry: CollectorRegistry | None = None
_kind = ""

_until_kept: ContextVar[list[tuple[Counter, tuple[str, ...]]] | None] = ContextVar("until_kept", default=None)
"""Increments to apply when the current request's transaction is committed."""


class Metric:
    """A metric of this process.

    :param most: maximum number of label sets; further ones become ``other``
    :param from_zero: label sets to export from the start, because Prometheus doesn't count a series that first appears
        with the value 1 as an increase
    """

    kind = ""

    def __init__(
        self, name: str, help_text: str, *labels: str, most: int = 200, from_zero: Iterable[tuple[str, ...]] = ()
    ) -> None:
        self.name = name
        self.help_text = help_text
        self.labels = labels
        self.most = most
        self.from_zero = tuple(from_zero)
        self._children: dict[tuple[str, ...], Any] = {}
        self._metric: Any = None
        _ALL.append(self)

    def start(self, registry: CollectorRegistry) -> None:
        """Start counting from zero, in ``registry``."""
        self._children = {}
        self._metric = self._made(registry)
        for values in self.from_zero:
            self._child(values)

    def stop(self) -> None:
        """Stop counting."""
        self._metric = None

    def _made(self, registry: CollectorRegistry) -> Any:
        raise NotImplementedError

    def _child(self, values: tuple[str, ...]) -> Any:
        """Return the series for these label values. Concurrent calls are safe: the library only keeps one of each."""
        if (child := self._children.get(values)) is not None:
            return child
        if len(self._children) >= self.most:
            values = (OTHER,) * len(self.labels)
        child = self._metric.labels(*values) if self.labels else self._metric
        self._children[values] = child
        return child


class Counter(Metric):
    """A monotonic counter. Its series end in ``_total``."""

    kind = "counter"

    def _made(self, registry: CollectorRegistry) -> Any:
        from prometheus_client import Counter as Made

        return Made(self.name, self.help_text, self.labels, registry=registry)

    def count(self, *values: str, by: float = 1) -> None:
        """Count something immediately, whether or not the current transaction is committed."""
        if self._metric is not None:
            self._child(values).inc(by)

    def count_when_kept(self, *values: str) -> None:
        """Count something when the request's transaction is committed; immediately outside of a request."""
        if self._metric is None:
            return
        waiting = _until_kept.get()
        if waiting is None:
            self.count(*values)
        else:
            waiting.append((self, values))


class Histogram(Metric):
    """A histogram of durations in seconds."""

    kind = "histogram"

    def __init__(self, name: str, help_text: str, *labels: str, buckets: tuple[float, ...], most: int = 200) -> None:
        super().__init__(name, help_text, *labels, most=most)
        self.buckets = buckets

    def _made(self, registry: CollectorRegistry) -> Any:
        from prometheus_client import Histogram as Made

        return Made(self.name, self.help_text, self.labels, buckets=self.buckets, registry=registry)

    def observe(self, seconds: float, *values: str) -> None:
        """Record a duration."""
        if self._metric is not None:
            self._child(values).observe(seconds)


def is_on() -> bool:
    """Return whether metrics are on in this process."""
    return _registry is not None


def process_kind() -> str:
    """Return the kind of this process: ``web`` or ``worker``; "" while metrics are off."""
    return _kind


def turn_on(kind: str = "worker") -> CollectorRegistry:
    """Start counting from zero; return the registry with the metrics of this process.

    If PROMETHEUS_MULTIPROC_DIR is set, values are in files in that directory instead, and a ``MultiProcessCollector``
    reads those of all processes. Call this after forking, never before.

    :param kind: of this process, as ``process_kind`` returns it
    """
    global _registry, _kind
    from prometheus_client import CollectorRegistry, disable_created_metrics

    # Creation times would double the number of series, and we don't use them.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    _registry, _kind = CollectorRegistry(), kind
    for metric in _ALL:
        metric.start(_registry)
    return _registry


def turn_off() -> None:
    """Stop counting."""
    global _registry, _kind
    _registry, _kind = None, ""
    for metric in _ALL:
        metric.stop()


def declared() -> list[Metric]:
    """Return all declared metrics."""
    return list(_ALL)


def begin_request() -> None:
    """Defer ``count_when_kept`` to the end of the request."""
    if _registry is not None:
        _until_kept.set([])


def end_request(*, kept: bool) -> None:
    """Apply the deferred counts unless the transaction was rolled back."""
    waiting = _until_kept.get()
    if waiting is not None:
        _until_kept.set(None)
        for counter, values in waiting if kept else ():
            counter.count(*values)


QUICK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
COMMITTED = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
SLOW = (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 3600.0)

REQUESTS = Histogram(
    "latchkey_request_seconds", "Requests, by the template of their path, their method and the class of their status.",
    "route", "method", "status", buckets=QUICK, most=600,
)  # fmt: skip
TURNED_AWAY = Counter(
    "latchkey_requests_turned_away", "Requests answered without the application.", "status", most=20,
    from_zero=[("400",), ("408",), ("411",), ("500",), ("503",)],
)  # fmt: skip
EVENTS = Counter("latchkey_events", "Events of the audit log.", "event")
SIGN_INS = Counter(
    "latchkey_sign_ins", "Sign-ins that succeeded or failed, by method and reason.", "method", "second", "result",
    "reason",
)  # fmt: skip
SESSIONS_OPENED = Counter("latchkey_sessions_opened", "Sessions opened.")
REFUSALS = Counter(
    "latchkey_refusals", "Requests refused, and messages not sent, because of a limit.", "limit",
    from_zero=[
        *((name,) for name in ("starts", "failures", "messages", "account_failures")),
        *((f"{channel}_{which}",) for channel, which in product(("mail", "sms"), ("overall", "strangers", "known"))),
        ("sms_breaker",),
    ],
)  # fmt: skip
QUEUED = Counter("latchkey_messages_queued", "Messages written to the outbox.", "channel", "kind", "decoy")
MESSAGES = Counter(
    "latchkey_messages", "Attempts to send a message, by how they ended.", "channel", "outcome",
    from_zero=product(("mail", "sms", "logout"), ("sent", "failed", "postponed", "abandoned", "dropped")),
)  # fmt: skip
PROVIDERS = Counter(
    "latchkey_provider_attempts", "Messages handed to a mail server or SMS provider, by how that ended.", "channel",
    "provider", "outcome",
    from_zero=product(("mail", "sms"), ("primary", "fallback"), ("sent", "failed", "refused", "postponed")),
)  # fmt: skip
DELIVERY = Histogram(
    "latchkey_delivery_seconds", "Time from the request of a message until the server had it.", "channel", "code",
    buckets=SLOW, most=20,
)  # fmt: skip
WEBHOOKS = Counter(
    "latchkey_webhook_attempts", "Events posted to endpoints of webhooks, by how that ended.", "outcome",
    from_zero=[("sent",), ("failed",), ("abandoned",)],
)  # fmt: skip
LOGGED = Counter(
    "latchkey_log_lines", "Warnings and errors that were logged.", "level", most=20,
    from_zero=[("warning",), ("error",)],
)  # fmt: skip
STATEMENTS = Histogram("latchkey_database_statement_seconds", "Database statements.", buckets=QUICK)
COMMITS = Histogram(
    "latchkey_database_commit_seconds", "Commits of transactions that wrote something, by the kind of process.", "kind",
    buckets=COMMITTED, most=20,
)  # fmt: skip
REDIS = Histogram("latchkey_redis_seconds", "Questions to Redis.", buckets=QUICK)
REDIS_FAILURES = Counter("latchkey_redis_failures", "Questions that Redis did not answer.")
PROCESSES = Counter("latchkey_processes_started", "Processes that this service has started.", "kind", most=20)
