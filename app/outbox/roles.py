"""Roles of workers, as rows that expire: who is alive, and who does what only one may do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app import clock
from app.extensions import db
from app.outbox.models import Lease

PRUNING = "pruning"

HELD_FOR = timedelta(seconds=30)
"""How long a role is held without being renewed, and how long a worker counts as alive after its last sign."""

WORKER = "worker-"

_lease = Lease.__table__


def _holding(insert: Any) -> Any:
    row = insert(_lease).values({name: sa.bindparam(name) for name in ("name", "holder", "until")})
    free = sa.or_(_lease.c.until <= sa.bindparam("now"), _lease.c.holder == row.excluded.holder)
    taken = row.on_conflict_do_update(
        index_elements=["name"], set_={"holder": row.excluded.holder, "until": row.excluded.until}, where=free
    )
    return taken.returning(_lease.c.name).execution_options(at_once=True)


_HOLD = {"sqlite": _holding(sqlite.insert), "postgresql": _holding(postgresql.insert)}


def hold(role: str, holder: str, lasting: timedelta = HELD_FOR) -> bool:
    """Take or renew a role for ``holder``; return False while another one holds it. Commits by itself."""
    now = clock.now()
    values = {"name": role, "holder": holder, "until": now + lasting, "now": now}
    statement = _HOLD[db.session.connection().dialect.name]
    return db.session.execute(statement, values).first() is not None


def beat(worker: str) -> None:
    """Note that this worker is alive, and forget those that were long ago."""
    hold(WORKER + worker, worker)
    old = sa.and_(_lease.c.name.startswith(WORKER), _lease.c.until < clock.now() - timedelta(days=1))
    if db.session.scalar(sa.select(sa.exists().where(old))):
        db.session.execute(sa.delete(_lease).where(old).execution_options(at_once=True))
    db.session.close()


def count_workers() -> int:
    """Return how many workers are alive."""
    alive = sa.and_(_lease.c.name.startswith(WORKER), _lease.c.until > clock.now())
    return db.session.scalar(sa.select(sa.func.count()).where(alive)) or 0
