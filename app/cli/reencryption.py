"""Re-encrypt rows under the current key while the service runs (ASVS 11.2.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from app.audit import record
from app.authenticators.encrypted_rows import SEALED
from app.crypto.encryption import DecryptionError
from app.extensions import db, keyring

BATCH = 500


@dataclass
class Resealed:
    """What a rotation did.

    :ivar moved: how many rows are under the current key now that were not before
    :ivar shut: why rows did not open, each reason with the tables and ids of those rows
    """

    moved: int = 0
    shut: dict[str, list[str]] = field(default_factory=dict)

    @property
    def shut_rows(self) -> int:
        """How many rows did not open."""
        return sum(map(len, self.shut.values()))


def reseal(moved: Callable[[int], None] = lambda count: None) -> Resealed:
    """Seal every row anew that is not under the current key. Commits each batch; may be stopped and run again.

    A row that somebody changes meanwhile keeps that change: it is written only where the old text still stands.
    :param moved: told how many rows each batch moved
    """
    result = Resealed()
    for model, context in SEALED:
        for rows in _older(model):
            texts = _sealed_anew(rows, context, result)
            count = _write(model, texts)
            result.moved += count
            moved(count)
    record("key.rotated", kid=keyring.kid, moved=result.moved, shut=result.shut_rows)
    db.session.commit()
    return result


def _older(model: Any) -> Iterator[list[Any]]:
    """Yield the rows that are not under the current key, in batches, by id."""
    last = ""
    while True:
        older = (model.secret != "", model.secret.not_like(f"v1.{keyring.kid}.%"), model.id > last)
        rows = list(db.session.scalars(sa.select(model).where(*older).order_by(model.id).limit(BATCH)))
        if not rows:
            return
        last = rows[-1].id
        yield rows
        db.session.expunge_all()


def _sealed_anew(rows: list[Any], context: Callable[[Any], tuple[str, ...]], result: Resealed) -> list[dict[str, str]]:
    texts = []
    for row in rows:
        try:
            plain = keyring.open(row.secret, *context(row))
        except DecryptionError as error:
            why = f"key {error.kid} is not in the ring" if error.key_is_unknown else "changed or moved"
            result.shut.setdefault(why, []).append(f"{row.__tablename__} {row.id}")
            continue
        texts.append({"row": row.id, "was": row.secret, "becomes": keyring.seal(plain, *context(row))})
    return texts


def _write(model: Any, texts: list[dict[str, str]]) -> int:
    """Put the new texts where the old ones still stand, and commit; return how many did."""
    if not texts:
        return 0
    table = model.__table__
    unchanged = (table.c.id == sa.bindparam("row"), table.c.secret == sa.bindparam("was"))
    written = sa.update(table).where(*unchanged).values(secret=sa.bindparam("becomes"))
    count = db.session.connection().execute(written, texts).rowcount
    db.session.commit()
    return count
