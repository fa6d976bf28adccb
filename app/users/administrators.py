"""Administrators: the accounts that may use the console."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite supports this INSERT, too

from app import clock
from app.errors import Rejected
from app.extensions import db, execute_update
from app.users.models import Administrator, User

_row = Administrator.__table__


def is_administrator(user_id: int) -> bool:
    """Return whether an account may use the console. One SQL statement."""
    return db.session.scalar(sa.select(_row.c.user_id).where(_row.c.user_id == user_id)) is not None


def administrators_among(user_ids: Collection[int]) -> set[int]:
    """Return which of these accounts may use the console. One SQL statement."""
    return set(db.session.scalars(sa.select(_row.c.user_id).where(_row.c.user_id.in_(user_ids))))


def grant(user_id: int, *, by: str) -> bool:
    """Make an account an administrator; return False if it already was one."""
    row = {"user_id": user_id, "since": clock.now(), "granted_by": by}
    made = insert(_row).values(row).on_conflict_do_nothing().returning(_row.c.user_id)
    return db.session.scalar(made) is not None


def revoke(user_id: int, *, keep_one: bool = False) -> bool:
    """Remove an account from the administrators; return False if it wasn't one.

    :param keep_one: refuse if no other administrator who can sign in would be left
    :raises Rejected: ``last_administrator``
    """
    if keep_one:
        require_another(user_id)
    return execute_update(sa.delete(_row).where(_row.c.user_id == user_id)) == 1


def require_another(user_id: int) -> None:
    """Check that another administrator can sign in. No one else can change that until the commit.

    :raises Rejected: ``last_administrator`` (409) if there is none
    """
    _lock()
    able = sa.select(_row.c.user_id).join(User, User.id == _row.c.user_id)
    able = able.where(User.disabled_at.is_(None), User.deletes_at.is_(None), User.id != user_id)
    if db.session.scalar(able.limit(1)) is None:
        raise Rejected("last_administrator", status=409)


def _lock() -> None:
    """Lock all rows until the commit, so that two administrators can't remove each other. By UPDATE, for SQLite."""
    execute_update(sa.update(_row).values(since=_row.c.since))
