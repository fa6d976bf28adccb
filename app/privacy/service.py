"""Request an export, see its progress, and download it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from app import clock
from app.audit import record
from app.crypto.encryption import DecryptionError
from app.errors import Rejected
from app.extensions import db, keyring
from app.privacy.export_job import context
from app.privacy.models import UNDER_WAY, WAITING, Export, ExportChunk
from app.users import User, lock_account

A_DAY = 3
"""Exports that one account may ask for in a day."""

DAY = timedelta(days=1)
_ID = re.compile(r"[0-9a-f]{32}\Z")


def ask(user: User) -> Export:
    """Have an export made. A worker does it, within a sweep or two of its.

    :raises Rejected: ``export_under_way`` while one is being made; ``too_many_requests`` after the third of a day
    """
    lock_account(user.id)  # two that ask at the same moment are one after the other
    known = exports_of(user.id)
    if any(export.state in UNDER_WAY for export in known):
        raise Rejected("export_under_way")
    now = clock.now()
    if (wait := left_to_wait(known, now)) > 0:
        raise Rejected("too_many_requests", status=429, retry_after=wait)
    export = Export(user_id=user.id, state=WAITING, asked_at=now, due_at=now)
    db.session.add(export)
    db.session.flush()
    record("export.requested", user.id)
    return export


def left_to_wait(known: Sequence[Export], now: datetime) -> int:
    """Return how many seconds are left until another export may be asked for; 0 when it may now."""
    lately = [export.asked_at for export in known if export.asked_at > now - DAY]
    return int((lately[A_DAY - 1] + DAY - now).total_seconds()) + 1 if len(lately) >= A_DAY else 0


def exports_of(user_id: int) -> list[Export]:
    """Return what this user has asked for lately, newest first. One statement."""
    mine = sa.select(Export).where(Export.user_id == user_id).order_by(Export.asked_at.desc(), Export.id)
    return list(db.session.scalars(mine.execution_options(populate_existing=True)))


def fetch(user: User, export_id: str) -> tuple[Export, Iterator[bytes]]:
    """Return an export of this user and the pieces of its archive, read from the database one by one.

    :raises Rejected: ``not_found`` (404) when it is not this user's, not ready, or its time is over
    """
    export = db.session.get(Export, export_id) if _ID.match(export_id) else None
    if export is None or export.user_id != user.id or not export.can_be_fetched(clock.now()):
        raise Rejected("not_found", status=404)
    try:
        first = _piece(export, 0)
    except DecryptionError:  # its key was taken out of the ring: it can be asked for again
        raise Rejected("not_found", status=404) from None
    return export, _pieces(export, first)


def _pieces(export: Export, first: bytes) -> Iterator[bytes]:
    yield first
    for number in range(1, export.chunks):
        yield _piece(export, number)


def _piece(export: Export, number: int) -> bytes:
    """Return one piece. Raises DecryptionError when it was changed, moved or is not there."""
    place = (export.id, export.attempts, number)
    c = ExportChunk
    here = (c.export_id == export.id, c.attempt == export.attempts, c.number == number)
    sealed = db.session.scalar(sa.select(c.sealed).where(*here))
    return keyring.open(sealed or "", *context(*place))
