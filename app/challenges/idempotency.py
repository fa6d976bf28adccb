"""Idempotent requests: a double click or a client's retry doesn't send a second message.

The first request inserts a row that names its challenge, in its own transaction. A concurrent request with the same key
waits in the database for that transaction to end, and then can't insert its own row. Only digests are stored.
"""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite supports this INSERT, too

from app import clock
from app.challenges.models import Challenge, StoredResponse
from app.client import IdempotencyKey
from app.crypto import secrets
from app.db.compiled import Detached
from app.db.retention import delete_batch
from app.errors import Rejected
from app.extensions import db

KEPT_FOR = timedelta(hours=24)
"""How long a key is remembered. After that it can be reused."""

_ROWS = Detached(Challenge)
_table = StoredResponse.__table__
_new = insert(_table)
_CLAIM = _new.on_conflict_do_update(
    index_elements=[_table.c.id],
    set_={name: _new.excluded[name] for name in ("body", "challenge_id", "created_at")},
    where=_table.c.created_at <= sa.bindparam("stale"),
).returning(_table.c.id)
_STORED = (
    _ROWS.select()
    .add_columns(_table.c.body)
    .select_from(_table.outerjoin(Challenge.__table__, Challenge.__table__.c.id == _table.c.challenge_id))
    .where(_table.c.id == sa.bindparam("key"))
)


def claim(key: IdempotencyKey, challenge_id: str) -> bool:
    """Record that the request ``key`` started this challenge; return False if the key is taken.

    One statement, safe under concurrency.
    """
    now = clock.now()
    row = {"id": key.key, "body": key.body, "challenge_id": challenge_id, "created_at": now}
    return db.session.scalar(_CLAIM, row | {"stale": now - key.holds}) is not None


def stored_challenge(key: IdempotencyKey) -> Challenge:
    """Return the challenge that the first request with this key started.

    :raises Rejected: ``idempotency_key_reused`` (409) if that request had another body, or its challenge is gone
    """
    row = db.session.execute(_STORED, {"key": key.key}).one_or_none()
    challenge: Challenge | None = _ROWS.read(row)[0] if row else None
    if row is None or challenge is None or not secrets.same(row[-1], key.body):
        db.session.rollback()  # a rejected request must leave no changes
        raise Rejected("idempotency_key_reused", status=409)
    return challenge


def prune_stored_responses() -> int:
    """Delete a batch of expired keys; return how many."""
    return delete_batch(db.session, StoredResponse, StoredResponse.created_at < clock.now() - KEPT_FOR)
