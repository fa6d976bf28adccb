"""Which endpoint gets which events, as this process last saw it: recording an event must cost nothing for that.

A web process looks every few seconds from a thread of its own, so no request waits for a look. Any other process looks
when it records an event and its last look is old.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa
import structlog

from app.extensions import db, this_app
from app.webhooks.event_types import ALL, matches
from app.webhooks.models import WebhookEndpoint

log = structlog.get_logger()

LOOK_EVERY = 5.0
"""Seconds between two looks of the thread: so long may a new endpoint miss events, and a worker not see it."""

OLD_AFTER = 15.0
"""Seconds after which a look is repeated by whoever needs it."""

_IN_MEMORY = "latchkey.webhooks.subscriptions"

_e = WebhookEndpoint.__table__.c
_ENABLED = sa.select(_e.id, _e.patterns).where(_e.disabled_at.is_(None))


class App(Protocol):
    """What looking needs of the Flask application."""

    extensions: dict[str, Any]

    def app_context(self) -> AbstractContextManager[Any]: ...


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look found: by type, the ids of the endpoints that get it; when, in monotonic seconds."""

    endpoints: Mapping[str, Sequence[str]]
    any: bool
    at: float


def endpoints_of(name: str) -> Sequence[str]:
    """Return the ids of the enabled endpoints that get events of this type."""
    return _seen(OLD_AFTER).endpoints.get(name, ())


def are_any() -> bool:
    """Whether any endpoint is enabled."""
    return _seen(LOOK_EVERY).any


def look() -> None:
    """Read which endpoints there are: one statement."""
    _keep(db.session.execute(_ENABLED).all())


def assume_none(app: App) -> None:
    """Go by there being no endpoint until the next look."""
    app.extensions[_IN_MEMORY] = _Seen({}, any=False, at=time.monotonic())


def forget() -> None:
    """Have the next event look again: an endpoint was changed in this process."""
    this_app().extensions.pop(_IN_MEMORY, None)


def keep_looking(app: App) -> None:
    """Look from a thread of its own, as long as this process lives."""

    def run() -> None:
        while True:
            with app.app_context():
                try:
                    look()
                except Exception as error:  # the database is away, and so is everything else
                    log.warning("webhooks.cannot_look", error=type(error).__name__)
            time.sleep(LOOK_EVERY)

    threading.Thread(target=run, name="look-webhooks", daemon=True).start()


def _seen(old_after: float) -> _Seen:
    seen: _Seen | None = this_app().extensions.get(_IN_MEMORY)
    if seen is None or time.monotonic() - seen.at > old_after:
        return _keep(db.session.execute(_ENABLED).all())
    return seen


def _keep(rows: Sequence[Any]) -> _Seen:
    subscribed = [(row.id, row.patterns.split("\n")) for row in rows]
    by_type = {each.name: [key for key, patterns in subscribed if _wants(patterns, each.name)] for each in ALL}
    seen = _Seen({name: ids for name, ids in by_type.items() if ids}, any=bool(rows), at=time.monotonic())
    this_app().extensions[_IN_MEMORY] = seen
    return seen


def _wants(patterns: Sequence[str], name: str) -> bool:
    return any(matches(pattern, name) for pattern in patterns)
