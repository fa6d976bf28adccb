"""Metrics read from the database, Redis and /proc, with few statements and never during a user's request."""

from __future__ import annotations

import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from app import clock
from app.audit.recorder import last_backup
from app.authenticators.keys import keys_in_use
from app.db import disk_space, read_only, readiness, refuse_unless_writable, unavailable
from app.extensions import db, keyring, settings
from app.monitoring.shared_files import full_notes, processes
from app.outbox import jobs, providers, suppressions
from app.outbox.schedule import QueueDepth, queue_depths
from app.sessions.store import count_sessions
from app.throttling import service_totals
from app.webhooks import endpoints
from app.webhooks.delivery import Queue as WebhookQueue
from app.webhooks.models import WebhookEndpoint

REDIS_WITHIN = 1.0
"""Timeout for Redis in seconds."""

SHOWN = 10
"""Mail domains shown by name at a time: those with the most waiting messages. Strangers can enter any domain."""

EVER_SHOWN = 100
"""Number of mail domains that a process shows by name in its lifetime. Further ones are ``other``."""

OTHER = "other"


@dataclass(frozen=True, slots=True)
class Gauge:
    """A current value.

    :ivar values: by label values
    """

    name: str
    help_text: str
    labels: tuple[str, ...] = ()
    values: dict[tuple[str, ...], float] = field(default_factory=dict)


def plain(name: str, help_text: str, value: float) -> Gauge:
    """Return a gauge without labels."""
    return Gauge(name, help_text, (), {(): value})


def database() -> Iterator[Gauge]:
    """Yield the database's response time, whether it accepts writes or is full, and this machine's clock skew.

    :raises Exception: from the driver, when the database doesn't respond
    """
    full = False
    with db.engine.connect() as connection:
        began = time.perf_counter()
        connection.exec_driver_sql("SELECT 1").scalar_one()
        took = time.perf_counter() - began
        if notes := full_notes():  # another process has noticed: see whether it still is
            disk_space.suspect(db.engine)
        try:
            refuse_unless_writable(connection)
            writable = float(read_only.state(connection) is None)
            for note in notes:
                note.unlink(missing_ok=True)
        except Exception as error:
            if not unavailable(error):
                raise
            writable, full = 0.0, disk_space.means_full(error)
    yield plain("latchkey_database_ping_seconds", "Time that SELECT 1 took.", took)
    yield plain("latchkey_database_writable", "Whether the database takes writes.", writable)
    yield plain("latchkey_database_disk_full", "Whether the database has no disk space for writes.", float(full))
    yield plain(
        "latchkey_clock_skew_seconds", "Seconds by which the database's clock is ahead of this machine's.",
        clock.correction(),
    )  # fmt: skip


def workers() -> Iterator[Gauge]:
    """Yield the live workers and the age of the oldest heartbeat among them."""
    signs, now = jobs.live_workers(), clock.now()
    versions = Counter(sign.version or "unknown" for sign in signs)
    yield Gauge(
        "latchkey_workers", "Workers that gave a sign in the last 30 seconds, by their release.", ("version",),
        {(version,): float(count) for version, count in versions.items()} or {("none",): 0.0},
    )  # fmt: skip
    if signs:
        oldest = max((now - sign.seen_at).total_seconds() for sign in signs)
        yield plain("latchkey_worker_heartbeat_age_seconds", "Age of the oldest sign of a live worker.", oldest)
        sweeps = [(now - (sign.swept_at or sign.started_at or now)).total_seconds() for sign in signs]
        yield plain("latchkey_worker_sweep_age_seconds", "Longest time since a worker's last full round.", max(sweeps))


class Queue:
    """Messages waiting to be sent, by channel and mail domain. Remembers which domains it has named."""

    def __init__(self) -> None:
        self._named: set[str] = set()

    def read(self) -> Iterator[Gauge]:
        """Yield how many messages wait, and for how long."""
        depths, now = queue_depths(), clock.now()
        names = self._names(depths)
        counts: defaultdict[tuple[str, ...], float] = defaultdict(float)
        oldest: dict[tuple[str, ...], float] = {}
        late: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for each in depths:
            labels = (each.channel, names[each.destination], each.state)
            counts[labels] += each.count
            oldest[labels] = max(oldest.get(labels, 0.0), age(now, each.oldest))
            if each.state != "sending":
                late[each.channel,] = max(late[each.channel,], age(now, each.due))
        labels = ("channel", "domain", "state")
        yield Gauge("latchkey_queue_messages", "Messages that wait or are being sent.", labels, dict(counts))
        yield Gauge("latchkey_queue_oldest_seconds", "Age of the oldest of them.", labels, oldest)
        yield Gauge(
            "latchkey_queue_late_seconds", "How long the message that is due longest has been due.", ("channel",),
            {(channel,): late[channel,] for channel in ("mail", "sms", "logout")},
        )  # fmt: skip

    def _names(self, depths: list[QueueDepth]) -> dict[str, str]:
        """Return the label of each destination: ``sms``, ``apps``, one of a few mail domains, or ``other``."""
        sizes: Counter[str] = Counter()
        for each in depths:
            if each.channel == "mail":
                sizes[each.destination] += each.count
        shown = {each.destination: "sms" if each.channel == "sms" else "apps" for each in depths}
        most = {domain for domain, _ in sizes.most_common(SHOWN)}
        for domain in sizes:
            may = domain in most and (domain in self._named or len(self._named) < EVER_SHOWN)
            if may:
                self._named.add(domain)
            shown[domain] = domain if may else OTHER
        return shown


ENDPOINT_STATES = ("works", "fails", "disabled", "off")
"""Webhook endpoint whose last delivery succeeded or failed, or that was disabled for failing or by an operator."""


def webhooks() -> Iterator[Gauge]:
    """Yield the states of webhook endpoints, and how long the most overdue event has been due."""
    states = Counter(map(state_of, endpoints.all_endpoints()))
    yield Gauge(
        "latchkey_webhook_endpoints", "Endpoints of webhooks, by how they are.", ("state",),
        {(state,): float(states[state]) for state in ENDPOINT_STATES},
    )  # fmt: skip
    due, now = WebhookQueue().due(), clock.now()
    yield plain(
        "latchkey_webhook_late_seconds", "How long the event that is due longest has been due, at an endpoint that "
        "may be asked.", max((age(now, each.since) for each in due), default=0.0),
    )  # fmt: skip


def state_of(endpoint: WebhookEndpoint) -> str:
    """Return an endpoint's state, one of ``ENDPOINT_STATES``."""
    if endpoint.disabled_at is not None:
        return "off" if endpoint.disabled_reason == endpoints.OPERATOR else "disabled"
    return "fails" if endpoint.failing_since is not None else "works"


def backups() -> Iterator[Gauge]:
    """Yield the age of the last backup; nothing if there is none, for example because other tools make backups."""
    if (made := last_backup()) is not None:
        yield plain("latchkey_backup_age_seconds", "Time since the last backup was made.", age(clock.now(), made))


def delivery() -> Iterator[Gauge]:
    """Yield which mail servers and SMS providers fail, and how much mail bounces."""
    yield Gauge(
        "latchkey_provider_up", "Whether a mail server or SMS provider took what it was given last.",
        ("channel", "provider"),
        {(each.channel, each.name): float(each.state != providers.FAILS) for each in providers.states_alone()},
    )  # fmt: skip
    found = suppressions.came_back()
    yield Gauge(
        "latchkey_mail_returned", "Mails that came back, or were called spam, in the last 24 hours.", ("kind",),
        {(kind,): float(found.get(kind, 0)) for kind in suppressions.KINDS},
    )  # fmt: skip
    yield plain("latchkey_suppressed_addresses", "Addresses that get no mail.", suppressions.count_suppressed())


def age(now: datetime, then: datetime) -> float:
    """Return the seconds since ``then``, 0 if it is in the future."""
    return max(0.0, (now - then).total_seconds())


def schema() -> Iterator[Gauge]:
    """Yield the migration the tables are at, and whether this release and its keys are compatible with them."""
    with db.engine.connect() as connection:
        found = readiness.schema_state(connection)
    behind = found.missing[0] if found.missing else ""
    at = found.newer or found.foreign or (f"before {behind}" if behind else found.head)
    yield Gauge(
        "latchkey_schema_info", "Migration that the tables are at.", ("revision", "head"), {(at, found.head): 1}
    )
    yield plain("latchkey_schema_fits", "Whether this release works with the tables.", float(not found.fault))
    if not found.fault:
        missing = len(keys_in_use().difference(keyring.kids))
        yield plain("latchkey_keys_missing", "Keys that encrypted rows and that this process lacks.", missing)


def totals() -> Iterator[Gauge]:
    """Yield the number of live sessions, and how much of the sending budget is used."""
    yield plain("latchkey_sessions", "Sessions that are alive.", count_sessions())
    used: dict[tuple[str, ...], float] = {}
    for each in service_totals.used():
        used[each.channel, each.which] = each.count / max(1, each.most)
    yield Gauge(
        "latchkey_budget_used_ratio", "Share used of what may leave of the whole service in an hour (mail) or a day.",
        ("channel", "which"), used,
    )  # fmt: skip


def redis() -> Iterator[Gauge]:
    """Yield whether Redis responds, and how fast; nothing if it isn't configured."""
    if not settings.redis_url:
        return
    from redis import Redis

    began, up = time.perf_counter(), 1.0
    try:
        client = Redis.from_url(settings.redis_url, socket_timeout=REDIS_WITHIN, socket_connect_timeout=REDIS_WITHIN)
        with client:
            client.ping()
    except Exception:  # the driver raises many types of exceptions
        up = 0.0
    yield plain("latchkey_redis_up", "Whether Redis answers.", up)
    if up:
        yield plain("latchkey_redis_ping_seconds", "Time that PING took.", time.perf_counter() - began)


Reading = Callable[[], Iterator[Gauge]]


# --- memory and open files of our processes -----------------------------------------------------


PROC = Path("/proc")
"""Systems without it don't report them."""

_LIMIT = re.compile(r"^Max open files +(\d+) ", re.MULTILINE)
_LABELS = ("kind", "process")


@dataclass(frozen=True, slots=True)
class Usage:
    """Resources that a process uses.

    :ivar memory: resident memory in bytes
    :ivar files: number of open file descriptors
    :ivar most_files: its limit on open files; None for no limit
    """

    memory: int
    files: int
    most_files: int | None


def usage_of(pid: int) -> Usage | None:
    """Return what a process uses; None if it has ended, isn't ours, or there is no /proc."""
    place = PROC / str(pid)
    try:
        pages = int((place / "statm").read_text().split()[1])
        files = len(os.listdir(place / "fd"))
        limit = _LIMIT.search((place / "limits").read_text())
    except OSError:
        return None
    return Usage(pages * os.sysconf("SC_PAGE_SIZE"), files, int(limit[1]) if limit else None)


def process_usage() -> Iterator[Gauge]:
    """Yield the memory and open files of each process, numbered within its kind."""
    memory: dict[tuple[str, ...], float] = {}
    files: dict[tuple[str, ...], float] = {}
    limits: dict[tuple[str, ...], float] = {}
    numbers: defaultdict[str, int] = defaultdict(int)
    for pid, kind in sorted(processes().items()):
        if (usage := usage_of(pid)) is None:
            continue
        numbers[kind] += 1
        labels = (kind, str(numbers[kind]))
        memory[labels], files[labels] = float(usage.memory), float(usage.files)
        if usage.most_files is not None:
            limits[labels] = float(usage.most_files)
    if memory:
        yield Gauge("latchkey_process_resident_bytes", "Resident memory of a process.", _LABELS, memory)
        yield Gauge("latchkey_process_open_files", "Open file descriptors of a process.", _LABELS, files)
        yield Gauge("latchkey_process_open_files_limit", "Files that a process may open.", _LABELS, limits)
