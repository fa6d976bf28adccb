"""Fill a large database by SQL statements: users with an address and a browser, 90 days of events, sessions, emails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

DAYS = 90
NAMES = (
    *("challenge.started", "challenge.sent", "sign_in.succeeded", "session.ended"),
    *("sign_in.failed", "factor.added", "group.member_added", "app.signed_in"),
)
"""Names of the events, in equal shares."""


@dataclass(frozen=True)
class Size:
    """Number of rows of each kind."""

    users: int
    events: int
    sessions: int
    messages: int

    def __str__(self) -> str:
        return f"{self.users:,} users, {self.events:,} events, {self.sessions:,} sessions, {self.messages:,} messages"


def fill(url: str, size: Size) -> None:
    """Fill a migrated, empty database and analyze it. Uses its own engine, because the service's has deadlines."""
    engine = sa.create_engine(url)
    dialect = _SQLite if engine.dialect.name == "sqlite" else _PostgreSQL
    with engine.connect() as connection:
        for statement in (*dialect.before, *_statements(dialect, size), *dialect.afterwards):
            connection.exec_driver_sql(statement if dialect is _SQLite else statement.replace("%", "%%"))
        connection.commit()
        connection.exec_driver_sql("ANALYZE")
        connection.commit()
    engine.dispose()


class _SQLite:
    numbers = "RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {0})"
    id_of = "printf('%032x', {0} * 2654435761)"
    moment = "strftime('%Y-%m-%d %H:%M:%S', 'now', -({0}) || ' seconds') || '.000000'"
    true, false = "1", "0"
    before: tuple[str, ...] = ("PRAGMA synchronous = off", "PRAGMA cache_size = -1000000")
    afterwards: tuple[str, ...] = ()


class _PostgreSQL:
    numbers = "n(i) AS (SELECT generate_series(1, CAST({0} AS bigint)))"
    id_of = "lpad(to_hex({0} * 2654435761), 32, '0')"
    moment = "now() - ({0}) * interval '1 second'"
    true, false = "true", "false"
    before = ("SET synchronous_commit = off",)
    afterwards = tuple(
        f"SELECT setval(pg_get_serial_sequence('\"{table}\"', 'id'), (SELECT max(id) FROM \"{table}\"))"
        for table in ("user", "identity", "event", "auth_session")
    )


def _statements(dialect: Any, size: Size) -> Iterator[str]:
    def of(number: int) -> str:
        return "WITH " + dialect.numbers.format(number)

    def at(count: int) -> str:
        return dialect.moment.format(f"{DAYS * 86400} - i * {DAYS * 86400} / {count}")

    row, yes, no = dialect.id_of.format("i"), dialect.true, dialect.false
    user, names = f"1 + i * 7919 % {size.users}", " ".join(f"WHEN {n} THEN '{name}'" for n, name in enumerate(NAMES))
    yield (
        f'{of(size.users)} INSERT INTO "user" (id, handle, language, created_at, confirmed_at, disabled_at)'
        f" SELECT i, {row}, 'en', {at(size.users)}, {at(size.users)},"
        f" CASE WHEN i % 1000 = 0 THEN {at(size.users)} END FROM n"
    )
    yield (
        f"{of(size.users)} INSERT INTO identity (id, user_id, kind, value, is_primary, created_at, confirmed_at)"
        f" SELECT i, i, 'email', 'person' || i || '@' || (i % 500) || '.example.com', {yes},"
        f" {at(size.users)}, {at(size.users)} FROM n"
    )
    yield (
        f"{of(size.users)} INSERT INTO enrolled_method (id, user_id, method, secret, name, last_step, created_at,"
        f" is_second, misses) SELECT {row}, i, 'email', '', '', 0, {at(size.users)}, {no}, 0 FROM n"
    )
    yield (
        f"{of(size.users)} INSERT INTO standing (id, user_id, in_a_row, touched_at, failures, browser, first_seen_at,"
        f" last_seen_at, agent) SELECT {row} || {row}, i, 0, {at(size.users)}, '', {row}, {at(size.users)},"
        f" {at(size.users)}, 'Firefox on Linux' FROM n"
    )
    yield (
        f"{of(size.events)} INSERT INTO event (id, at, name, user_id, challenge_id, support_id, request_id, address,"
        f" agent, facts) SELECT i, {at(size.events)}, CASE i % {len(NAMES)} {names} END, {user}, {row},"
        f" upper(substr({row}, 24, 8)), {row}, '192.0.2.' || i % 250, 'Firefox on Linux', '{{}}' FROM n"
    )
    yield (
        f"{of(size.sessions)} INSERT INTO auth_session (id, digest, family, user_id, kind, amr, created_at, seen_at,"
        f" authenticated_at, expires_at, persistent, address, agent, untold)"
        f" SELECT i, {row}, {row}, {user}, 'browser', 'email', {at(size.sessions)}, {at(size.sessions)},"
        f" {at(size.sessions)}, {dialect.moment.format('-864000')}, {no}, '192.0.2.1', 'Firefox on Linux', {no} FROM n"
    )
    state = "CASE WHEN i % 1000 = 0 THEN 'abandoned' WHEN i % 1000 = 1 THEN 'waiting' ELSE 'sent' END"
    due = f"CASE WHEN i % 1000 = 1 THEN {dialect.moment.format('-600')} END"
    yield (
        f'{of(size.messages)} INSERT INTO message (id, kind, channel, "to", destination, user_id, facts, language,'
        f" tag, decoy, state, attempts, next_attempt_at, last_error, created_at, sent_at)"
        f" SELECT {row}, 'sign_in', 'mail', 'person' || i || '@' || (i % 500) || '.example.com',"
        f" (i % 500) || '.example.com', {user}, '{{}}', 'en', '', {no}, {state}, 1, {due}, 'refused',"
        f" {at(size.messages)}, {at(size.messages)} FROM n"
    )
