"""Which accounts may use the console."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks this INSERT as well

from app import clock
from app.errors import Rejected
from app.extensions import changed, db
from app.users.models import Administrator, User

_row = Administrator.__table__


def is_administrator(user_id: int) -> bool:
    """Say whether an account may use the console. One statement."""
    return db.session.scalar(sa.select(_row.c.user_id).where(_row.c.user_id == user_id)) is not None


def administrators_among(user_ids: Collection[int]) -> set[int]:
    """Return which of these accounts may use the console. One statement."""
    return set(db.session.scalars(sa.select(_row.c.user_id).where(_row.c.user_id.in_(user_ids))))


def has_administrator() -> bool:
    """Say whether any account may use the console."""
    return db.session.scalar(sa.select(_row.c.user_id).limit(1)) is not None


def grant(user_id: int, *, by: str) -> bool:
    """Let an account use the console; return False when it may already."""
    row = {"user_id": user_id, "since": clock.now(), "granted_by": by}
    made = insert(_row).values(row).on_conflict_do_nothing().returning(_row.c.user_id)
    return db.session.scalar(made) is not None


def revoke(user_id: int, *, keep_one: bool = False) -> bool:
    """Let an account use the console no more; return False when it might not.

    :param keep_one: refuse where no other account that can sign in would be left
    :raises Rejected: ``last_administrator``
    """
    if keep_one:
        require_another(user_id)
    return changed(sa.delete(_row).where(_row.c.user_id == user_id)) == 1


def require_another(user_id: int) -> None:
    """Go on only if another administrator than this account can sign in; until the commit nobody else changes that.

    :raises Rejected: ``last_administrator`` (409)
    """
    _lock()
    able = sa.select(_row.c.user_id).join(User, User.id == _row.c.user_id)
    able = able.where(User.disabled_at.is_(None), User.deletes_at.is_(None), User.id != user_id)
    if db.session.scalar(able.limit(1)) is None:
        raise Rejected("last_administrator", status=409)


def _lock() -> None:
    """Lock all rows until the commit, so that two who remove each other take turns: by an UPDATE, as SQLite does."""
    changed(sa.update(_row).values(since=_row.c.since))
