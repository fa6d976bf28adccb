"""Read-only mode: every process keeps serving reads, and the database rejects changes from any client.

The database enforces it through triggers on every table, created in one transaction with a row that holds the end time.
So processes need no notification, none of them lags behind, and there is no overhead while the mode is off.
``flask db move`` turns it on and renews the row while it runs. If it is killed, changes are accepted again after LEASE.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from app.db.faults import DatabaseUnavailable

if TYPE_CHECKING:
    from sqlalchemy.engine import ExceptionContext

TABLE: Final = "latchkey_read_only"
FUNCTION: Final = "latchkey_refuse"
ERROR_MARKER: Final = "latchkey: read-only"
"""Text that identifies the error raised by the triggers."""

SQLSTATE: Final = "LK001"
LEASE: Final = timedelta(seconds=60)
LOCK_TIMEOUT: Final = "10s"
"""How long to wait for write transactions in progress, on PostgreSQL."""

PERMANENT_UNTIL: Final = 253402300799
"""Unix time of the end of the year 9999."""

MAX_WAIT: Final = timedelta(minutes=10)
_OPERATIONS: Final = ("INSERT", "UPDATE", "DELETE")


class ServiceReadOnly(DatabaseUnavailable):
    """The database temporarily accepts no changes, because the operator is moving it.

    :ivar retry_after: seconds after which to retry
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__("the database is being moved and takes no changes")
        self.retry_after = retry_after


_NOW: Final = {
    "sqlite": "CAST(strftime('%s', 'now') AS INTEGER)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) AS bigint)",
}
"""SQL for the Unix time by the database's clock, which all processes use."""


@dataclass(frozen=True, slots=True)
class ReadOnly:
    """State of read-only mode while it is on.

    :ivar permanent: whether it lasts until ``lift``, because everything has been moved
    :ivar expected_seconds: seconds after which it is expected to end
    """

    permanent: bool
    expected_seconds: int


def state(connection: sa.Connection) -> ReadOnly | None:
    """Return the state of read-only mode; None if it is off."""
    if not sa.inspect(connection).has_table(TABLE):
        return None
    now = _NOW[connection.dialect.name]
    row = connection.exec_driver_sql(f"SELECT until, back_at - {now} FROM {TABLE} WHERE until > {now}").first()  # noqa: S608
    return None if row is None else ReadOnly(row[0] >= PERMANENT_UNTIL, _clamp_wait(row[1]))


def begin(connection: sa.Connection, tables: Iterable[str], expected_duration: timedelta) -> None:
    """Reject changes to these tables from now on, for LEASE. ``connection`` must be in autocommit mode."""
    with _transaction(connection):
        _remove(connection)
        connection.exec_driver_sql(f"CREATE TABLE {TABLE} (until BIGINT NOT NULL, back_at BIGINT NOT NULL)")
        until, back_at = _after(connection, LEASE), _after(connection, expected_duration)
        connection.exec_driver_sql(f"INSERT INTO {TABLE} (until, back_at) VALUES ({until}, {back_at})")  # noqa: S608
        for statement in _triggers(connection.dialect.name, tables):
            connection.exec_driver_sql(statement)


def renew(connection: sa.Connection, expected_duration: timedelta, *, permanent: bool = False) -> bool:
    """Extend read-only mode by another LEASE, or until ``lift``; return False if it had already expired."""
    until = str(PERMANENT_UNTIL) if permanent else _after(connection, LEASE)
    statement = f"UPDATE {TABLE} SET until = {until}, back_at = {_after(connection, expected_duration)}"  # noqa: S608
    return connection.exec_driver_sql(f"{statement} WHERE until > {_NOW[connection.dialect.name]}").rowcount == 1


def lift(connection: sa.Connection) -> None:
    """Accept changes again. ``connection`` must be in autocommit mode."""
    with _transaction(connection):
        _remove(connection)


@contextmanager
def _transaction(connection: sa.Connection) -> Iterator[None]:
    is_sqlite = connection.dialect.name == "sqlite"
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_sqlite else f"BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    try:
        yield
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def _after(connection: sa.Connection, duration: timedelta) -> str:
    return f"{_NOW[connection.dialect.name]} + {int(duration.total_seconds())}"


def _remove(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {FUNCTION}() CASCADE")
    else:
        our_triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND substr(name, 1, ?) = ?"
        for name in connection.exec_driver_sql(our_triggers, (len(FUNCTION), FUNCTION)).scalars().all():
            connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {TABLE}")


def _triggers(dialect: str, tables: Iterable[str]) -> list[str]:
    now = _NOW[dialect]
    if dialect == "sqlite":
        condition = f"WHEN EXISTS (SELECT 1 FROM {TABLE} WHERE until > {now})"  # noqa: S608
        return [
            f'CREATE TRIGGER "{FUNCTION}_{table}_{operation.lower()}" BEFORE {operation} ON "{table}" {condition} '
            f"BEGIN SELECT RAISE(ABORT, '{ERROR_MARKER}'); END"
            for table in tables
            for operation in _OPERATIONS
        ]
    function = f"""
        CREATE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE back bigint;
        BEGIN
            EXECUTE format('SELECT back_at - {now} FROM %%I.{TABLE} WHERE until > {now}', TG_TABLE_SCHEMA) INTO back;
            IF back IS NOT NULL THEN
                RAISE EXCEPTION '{ERROR_MARKER} %%', back USING ERRCODE = '{SQLSTATE}';
            END IF;
            IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
            RETURN NEW;
        END $$
    """  # noqa: S608
    any_operation = " OR ".join(_OPERATIONS)
    return [function] + [
        f'CREATE TRIGGER {FUNCTION} BEFORE {any_operation} ON "{table}" FOR EACH ROW EXECUTE FUNCTION {FUNCTION}()'
        for table in tables
    ]


def _clamp_wait(seconds: int) -> int:
    return min(max(seconds, 1), int(MAX_WAIT.total_seconds()))


def raise_if_read_only(context: ExceptionContext) -> None:
    """Raise ``ServiceReadOnly`` for an error raised by the triggers. Runs as the engine's error listener."""
    error: Any = context.original_exception
    if ERROR_MARKER not in str(error) or context.connection is None:
        return
    if context.connection.dialect.name == "sqlite":
        driver: Any = context.connection.connection.driver_connection
        row = driver.execute(f"SELECT back_at - {_NOW['sqlite']} FROM {TABLE}").fetchone()  # noqa: S608
        back = row[0] if row else 1
    else:
        back = int(str(error).split(ERROR_MARKER, 1)[1].split()[0])
    raise ServiceReadOnly(_clamp_wait(back)) from error
