"""Penalties, stored where every process sees them."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks this INSERT as well

from app import clock
from app.db.compiled import CompiledStatement
from app.extensions import changed
from app.throttling.models import Penalty

_table = Penalty.__table__
_c = _table.c
_FIND = CompiledStatement(sa.select(_c.until).where(_c.id == sa.bindparam("bucket"), _c.until > sa.bindparam("now")))
_IMPOSE = (
    insert(_table)
    .values(id=sa.bindparam("bucket"), until=sa.bindparam("then"))
    .on_conflict_do_update(index_elements=[_c.id], set_={"until": sa.bindparam("then")})
)


def impose(bucket: str, penalty: timedelta) -> None:
    """Let ``bucket`` wait for ``penalty`` from now, once the transaction under way is committed."""
    changed(_IMPOSE, {"bucket": bucket, "then": clock.now() + penalty})


def left(bucket: str) -> float:
    """Return how many seconds ``bucket`` has to wait, 0 when it need not. One statement, on the primary key."""
    now = clock.now()
    found = _FIND.first(bucket=bucket, now=now)
    return float((found[0] - now).total_seconds()) if found else 0.0
