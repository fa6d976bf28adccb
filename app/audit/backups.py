"""When the database was backed up last, by our command: an event of its own, found by an index."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from app.audit.models import IS_BACKUP, Event
from app.extensions import db


def latest() -> datetime | None:
    """Return when the last backup was made; None when none is known. One statement, by an index."""
    newest = sa.select(Event.at).where(IS_BACKUP).order_by(Event.at.desc()).limit(1)
    return db.session.scalar(newest)
