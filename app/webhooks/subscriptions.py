"""Which endpoint gets which events, cached by this process so that recording an event costs nothing extra.

A web process refreshes the cache every few seconds in a background thread, so no request waits for that. Any other
process refreshes it when it records an event and the cache is old.
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

REFRESH_INTERVAL = 5.0
"""Seconds between refreshes by the thread. A new endpoint may miss events, and workers may not see it, that long."""

MAX_AGE = 15.0
"""Age in seconds after which any code that needs the cache refreshes it."""

_IN_MEMORY = "latchkey.webhooks.subscriptions"

_e = WebhookEndpoint.__table__.c
_ENABLED = sa.select(_e.id, _e.patterns).where(_e.disabled_at.is_(None))


class App(Protocol):
    """What refreshing needs of the Flask application."""

    extensions: dict[str, Any]

    def app_context(self) -> AbstractContextManager[Any]: ...


@dataclass(frozen=True, slots=True)
class _Cache:
    """The cache: by type, the ids of the endpoints that get it; when it was read, in monotonic seconds."""

    endpoints: Mapping[str, Sequence[str]]
    any: bool
    at: float


def endpoints_of(name: str) -> Sequence[str]:
    """Return the ids of the enabled endpoints that get events of this type."""
    return _cache(MAX_AGE).endpoints.get(name, ())


def are_any() -> bool:
    """Return whether any endpoint is enabled."""
    return _cache(REFRESH_INTERVAL).any


def refresh() -> None:
    """Read the endpoints into the cache. One statement."""
    _store(db.session.execute(_ENABLED).all())


def assume_none(app: App) -> None:
    """Assume that there are no endpoints until the next refresh."""
    app.extensions[_IN_MEMORY] = _Cache({}, any=False, at=time.monotonic())


def invalidate() -> None:
    """Drop the cache, since an endpoint was changed in this process."""
    this_app().extensions.pop(_IN_MEMORY, None)


def start_refreshing(app: App) -> None:
    """Refresh the cache in a background thread for as long as this process lives."""

    def run() -> None:
        while True:
            with app.app_context():
                try:
                    refresh()
                except Exception as error:  # the database is unavailable, and so is everything else
                    log.warning("webhooks.cannot_look", error=type(error).__name__)
            time.sleep(REFRESH_INTERVAL)

    threading.Thread(target=run, name="refresh-webhooks", daemon=True).start()


def _cache(max_age: float) -> _Cache:
    cache: _Cache | None = this_app().extensions.get(_IN_MEMORY)
    if cache is None or time.monotonic() - cache.at > max_age:
        return _store(db.session.execute(_ENABLED).all())
    return cache


def _store(rows: Sequence[Any]) -> _Cache:
    subscribed = [(row.id, row.patterns.split("\n")) for row in rows]
    by_type = {each.name: [key for key, patterns in subscribed if _wants(patterns, each.name)] for each in ALL}
    cache = _Cache({name: ids for name, ids in by_type.items() if ids}, any=bool(rows), at=time.monotonic())
    this_app().extensions[_IN_MEMORY] = cache
    return cache


def _wants(patterns: Sequence[str], name: str) -> bool:
    return any(matches(pattern, name) for pattern in patterns)
