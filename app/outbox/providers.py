"""Health of mail servers and SMS providers, recorded by workers and shown to operators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app import clock
from app.extensions import db, settings
from app.outbox.channels import mail, sms
from app.outbox.channels.failover import Provider
from app.outbox.models import Message, ProviderHealth

RECENT = timedelta(days=1)

WORKS, FAILS, UNUSED = "works", "fails", "unused"


@dataclass(frozen=True, slots=True)
class ProviderState:
    """A configured provider and its health.

    :ivar name: ``primary`` or ``fallback``
    :ivar state: ``works``, ``fails`` if its last attempt failed, or ``unused``
    :ivar sent_recently: messages of the last 24 hours that it accepted
    :ivar sent_at, failed_at: when it last accepted a message, and last failed; None for never
    :ivar reason: why it last failed; "" if it works
    """

    channel: str
    name: str
    host: str
    state: str
    sent_recently: int
    sent_at: datetime | None
    failed_at: datetime | None
    reason: str


def states() -> list[ProviderState]:
    """Return the configured providers, mail servers first, in the order they are tried. Two statements."""
    recent = sa.select(Message.channel, Message.provider, sa.func.count()).where(
        Message.created_at > clock.now() - RECENT, Message.provider != ""
    )
    counts = {
        (row[0], row[1]): row[2] for row in db.session.execute(recent.group_by(Message.channel, Message.provider))
    }
    return _states(counts)


def states_alone() -> list[ProviderState]:
    """Return the configured providers without message counts. One statement, a few rows."""
    return _states({})


def failing() -> list[ProviderState]:
    """Return the failing providers without message counts. One statement, a few rows."""
    return [each for each in states_alone() if each.state == FAILS]


def _states(counts: Mapping[tuple[str, str], int]) -> list[ProviderState]:
    hosts = {("mail", name): url for name, url in mail.urls_of(settings).items()}
    if settings.can_send_sms:
        hosts |= {("sms", name): access.url for name, access in sms.accesses().items()}
    known = {(row.channel, row.name): row for row in db.session.scalars(sa.select(ProviderHealth))}
    return [
        _state(*key, urlsplit(url).hostname or "", counts.get(key, 0), known.get(key)) for key, url in hosts.items()
    ]


def _state(channel: str, name: str, host: str, count: int, row: ProviderHealth | None) -> ProviderState:
    sent_at, failed_at = (row.sent_at, row.failed_at) if row else (None, None)
    fails = failed_at is not None and (sent_at is None or sent_at < failed_at)
    state = FAILS if fails else WORKS if sent_at else UNUSED
    return ProviderState(channel, name, host, state, count, sent_at, failed_at, row.reason if row and fails else "")


_table = ProviderHealth.__table__


def _upsert_statement(insert: Any) -> Any:
    """Return the upsert that keeps the newest of the stored and new times."""
    row = insert(_table).values({each.name: sa.bindparam(each.name) for each in _table.c})
    new = row.excluded

    def newest(name: str) -> sa.ColumnElement[Any]:
        older = sa.or_(_table.c[name].is_(None), _table.c[name] < new[name])
        return sa.case((older, sa.func.coalesce(new[name], _table.c[name])), else_=_table.c[name])

    values = {name: newest(name) for name in ("sent_at", "failed_at")}
    values["reason"] = sa.case((new.reason != "", new.reason), else_=_table.c.reason)
    return row.on_conflict_do_update(index_elements=["channel", "name"], set_=values)


_SAVE = {"sqlite": _upsert_statement(sqlite.insert), "postgresql": _upsert_statement(postgresql.insert)}


def save_health() -> bool:
    """Save this process's provider health since the last call. Writes nothing if nothing was sent."""
    for provider in (*mail.providers.values(), *sms.providers.values()):
        _save(provider)
    return False


def _save(provider: Provider) -> None:
    health = provider.pop_health()
    if health.sent_at is None and health.failed_at is None:
        return
    values: dict[str, Any] = {"channel": provider.channel, "name": provider.name, "reason": health.reason[:80]}
    values |= {"sent_at": health.sent_at, "failed_at": health.failed_at}
    db.session.execute(_SAVE[db.session.connection().dialect.name], values)
