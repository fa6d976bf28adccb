"""Repeated requests (a double click, a client's retry): what they ask for is sent once.

The first one writes a row that names its challenge, in its own transaction; the database lets no other with the same
key write one, and has it wait until that transaction is over. Only digests are stored.
"""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks this INSERT as well

from app import clock
from app.challenges.models import Challenge, StoredResponse
from app.client import IdempotencyKey
from app.crypto import secrets
from app.db.compiled import Detached
from app.errors import Rejected
from app.extensions import db

KEPT_FOR = timedelta(hours=24)
"""A key counts for so long; after that it may be used anew."""

_ROWS = Detached(Challenge)
_table = StoredResponse.__table__
_new = insert(_table)
_TAKE = _new.on_conflict_do_update(
    index_elements=[_table.c.id],
    set_={name: _new.excluded[name] for name in ("body", "challenge_id", "created_at")},
    where=_table.c.created_at <= sa.bindparam("stale"),
).returning(_table.c.id)
_EARLIER = (
    _ROWS.select()
    .add_columns(_table.c.body)
    .select_from(_table.outerjoin(Challenge.__table__, Challenge.__table__.c.id == _table.c.challenge_id))
    .where(_table.c.id == sa.bindparam("key"))
)


def is_first(once: IdempotencyKey, challenge_id: str) -> bool:
    """Note that the request ``once`` asks for this challenge; False when it did before. One statement, exact."""
    now = clock.now()
    row = {"id": once.key, "body": once.body, "challenge_id": challenge_id, "created_at": now}
    return db.session.scalar(_TAKE, row | {"stale": now - once.holds}) is not None


def earlier(once: IdempotencyKey) -> Challenge:
    """Return the challenge that the first request asked for.

    :raises Rejected: ``idempotency_key_reused`` (409) when that one asked for something else, or its challenge is gone
    """
    row = db.session.execute(_EARLIER, {"key": once.key}).one_or_none()
    challenge: Challenge | None = _ROWS.read(row)[0] if row else None
    if row is None or challenge is None or not secrets.same(row[-1], once.body):
        db.session.rollback()  # what this request has done for another body must not stay with its refusal
        raise Rejected("idempotency_key_reused", status=409)
    return challenge
