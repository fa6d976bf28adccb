"""Delete exports: the archive when it expires, and a day later the request."""

from __future__ import annotations

from typing import Any, cast

import sqlalchemy as sa

from app import clock
from app.db.retention import delete_batch
from app.extensions import db
from app.privacy.models import Export, ExportChunk
from app.privacy.service import DAY

ARCHIVES = 10
"""Archives deleted by one statement: 16 MiB each at the most."""


def prune_archives() -> int:
    """Delete the archives of a few exports whose time is over; return how many pieces went."""
    over = sa.select(Export.id).where(Export.expires_at <= clock.now()).where(
        sa.exists().where(ExportChunk.export_id == Export.id)
    )  # fmt: skip
    statement = sa.delete(ExportChunk).where(ExportChunk.export_id.in_(over.limit(ARCHIVES)))
    done = db.session.execute(statement.execution_options(synchronize_session=False, at_once=True))
    return cast("sa.CursorResult[Any]", done).rowcount


def prune_exports() -> int:
    """Delete a batch of exports that no day's count needs and nobody can fetch; return how many."""
    now = clock.now()
    over = sa.or_(Export.expires_at.is_(None), Export.expires_at <= now)
    return delete_batch(db.session, Export, sa.and_(Export.asked_at < now - DAY, Export.due_at.is_(None), over))
