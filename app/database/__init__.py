"""How rows are kept: the engine, its transactions and their deadlines, and column types.

Promises that a read never takes a lock and that no statement outlives its deadline.
"""

from app.database.columns import Base, BrowserName, UtcDateTime, partial_index
from app.database.engine import attach, engine_options, engine_url, has_written, take_turns, write_lightly
from app.database.faults import DatabaseReadOnly, DatabaseUnavailable, PoolerFound, unavailable
from app.database.readiness import refuse_unless_writable

__all__ = [
    "Base",
    "BrowserName",
    "DatabaseReadOnly",
    "DatabaseUnavailable",
    "PoolerFound",
    "UtcDateTime",
    "attach",
    "engine_options",
    "engine_url",
    "has_written",
    "partial_index",
    "refuse_unless_writable",
    "take_turns",
    "unavailable",
    "write_lightly",
]
