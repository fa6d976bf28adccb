"""How rows are kept: the engine, its transactions and their deadlines, and column types.

Promises that a read never takes a lock and that no statement outlives its deadline.
"""

from app.db.columns import Base, BrowserName, UtcDateTime, partial_index
from app.db.engine import attach, engine_options, engine_url, has_written, serialize_on, use_async_commit
from app.db.faults import DatabaseReadOnly, DatabaseUnavailable, PoolerFound, unavailable
from app.db.readiness import refuse_unless_writable

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
    "serialize_on",
    "unavailable",
    "use_async_commit",
]
