"""Reads accounts as an operator sees them, page by page, so that any number of them can be listed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from app.extensions import db
from app.methods import EnrolledMethod
from app.users import Identity, User

PAGE = 500


def accounts(*, disabled_only: bool = False) -> Iterator[dict[str, Any]]:
    """Yield each account, oldest first: handle, email, phone, username, methods, disabled, deletes_at, confirmed,
    created_at.

    ``confirmed`` tells whether its owner has proved an address. No secret is among them.
    """
    last = 0
    while True:
        page = sa.select(User).where(User.id > last).order_by(User.id).limit(PAGE)
        if disabled_only:
            page = page.where(User.disabled_at.is_not(None))
        found = db.session.scalars(page).all()
        if not found:
            return
        yield from _described(found)
        last = found[-1].id
        db.session.expunge_all()


def _described(found: Sequence[User]) -> Iterator[dict[str, Any]]:
    ids = [user.id for user in found]
    identities = _by_user(sa.select(Identity).where(Identity.user_id.in_(ids), Identity.is_primary))
    methods = _by_user(
        sa.select(EnrolledMethod).where(EnrolledMethod.user_id.in_(ids)).order_by(EnrolledMethod.created_at)
    )
    for user in found:
        own = identities.get(user.id, [])
        names = dict.fromkeys(("email", "phone", "username")) | {row.kind: row.value for row in own}
        yield {
            "handle": user.handle,
            **names,
            "methods": list(dict.fromkeys(row.method for row in methods.get(user.id, []))),
            "disabled": user.disabled_at is not None,
            "deletes_at": user.deletes_at,
            "confirmed": user.confirmed_at is not None,
            "created_at": user.created_at,
        }


def _by_user(statement: sa.Select[Any]) -> dict[int, list[Any]]:
    grouped: dict[int, list[Any]] = {}
    for row in db.session.scalars(statement):
        grouped.setdefault(row.user_id, []).append(row)
    return grouped
