"""A user's authenticator apps: name, add, find, rename and remove them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa

from app.authenticators import enrollments, names
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import changed, db

METHOD = "authenticator"

MOST = 5
"""Apps of one user, at most: each has three codes that are right at any time (docs/security.md, Many guesses)."""

UNNAMED = "Authenticator app"


def name_of(row: Enrollment) -> str:
    """Return what an app is called; one that came with the account, or with an earlier release, has no name stored."""
    return row.name or UNNAMED


def apps_among(rows: Sequence[Enrollment]) -> list[Enrollment]:
    """Return the apps among what a user has set up, the oldest first."""
    return [row for row in rows if row.method == METHOD]


def apps_of(user_id: int) -> list[Enrollment]:
    """Return a user's apps, the oldest first. One statement."""
    return apps_among(enrollments.enrolled_of(user_id))


def checked(name: str, field: str = "name") -> str:
    """Return ``name`` tidied up.

    :raises Rejected: on ``field``: ``authenticator_name_required``, ``invalid_input_length``,
        ``invalid_input`` (markup) or ``authenticator_name_disallowed_characters`` (what cannot be seen)
    """
    return names.checked(
        name, field, required="authenticator_name_required", disallowed="authenticator_name_disallowed_characters"
    )


def require_room(mine: Collection[Enrollment]) -> None:
    """Go on only if one more app may be added to ``mine``.

    :raises Rejected: ``authenticator_too_many``
    """
    if len(mine) >= MOST:
        raise Rejected("authenticator_too_many", most=MOST)


def checked_for_new(user_id: int, name: str) -> str:
    """Return ``name`` tidied up for one more app of this user; "" stays the default. One statement for a name.

    :raises Rejected: as ``checked``, and ``authenticator_name_inuse`` on ``name``
    """
    if not name.strip():
        return ""
    tidy = checked(name)
    _require_free(tidy, _taken(user_id))
    return tidy


def name_for_new(mine: Sequence[Enrollment], name: str) -> str:
    """Return what a new app beside ``mine`` is called.

    :param name: from ``checked_for_new``; "" for the default, with a number where that is taken
    :raises Rejected: ``authenticator_name_inuse`` on ``name``
    """
    taken = {name_of(row) for row in mine}
    _require_free(name, taken)
    return name or names.numbered(UNNAMED, taken)


def add(
    mine: Sequence[Enrollment],
    user_id: int,
    name: str,
    secret: str,
    *,
    last_step: int,
    session_id: str | None,
    weak_until: datetime | None,
    as_second: bool,
) -> Enrollment:
    """Add an app beside ``mine``; where those are asked for as a second step, it will do as well.

    The caller holds the user's row.
    :param name: from ``name_for_new``
    :param as_second: it is set up as a second step, and no way to sign in. Set up as a way to sign in where apps are
        asked for as a second step, it is both (ADR 37)
    """
    is_second = any(row.is_second for row in mine)
    signs_in = False if as_second else True if is_second else None
    return enrollments.enroll(
        user_id, METHOD, secret, last_step=last_step, name=name,
        session_id=session_id, weak_until=weak_until, signs_in=signs_in, is_second=is_second,
    )  # fmt: skip


def find(user_id: int, app_id: str) -> Enrollment | None:
    """Return this app of the user."""
    return db.session.scalars(sa.select(Enrollment).where(*_one(user_id, app_id))).first()


def rename(user_id: int, app_id: str, name: str) -> bool:
    """Give a user's app another name; False when they have no such app. The caller holds the user's row.

    :param name: from ``checked``
    :raises Rejected: ``authenticator_name_inuse`` on ``name``
    """
    _require_free(name, _taken(user_id, but=app_id))
    return changed(sa.update(Enrollment).where(*_one(user_id, app_id)).values(name=name)) == 1


def remove(user_id: int, app_id: str) -> bool:
    """Remove one of a user's apps; False when there was none."""
    return changed(sa.delete(Enrollment).where(*_one(user_id, app_id))) == 1


def _taken(user_id: int, but: str = "") -> set[str]:
    """Return the names of a user's apps as they stand now, also where rows were read before: it reads no rows.

    :param but: id of one that does not count
    """
    others = (Enrollment.user_id == user_id, Enrollment.method == METHOD, Enrollment.id != but)
    return {name or UNNAMED for name in db.session.scalars(sa.select(Enrollment.name).where(*others))}


def _require_free(name: str, taken: Collection[str]) -> None:
    if name in taken:
        raise Rejected("authenticator_name_inuse", field="name", name=name)


def _one(user_id: int, app_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return Enrollment.user_id == user_id, Enrollment.method == METHOD, Enrollment.id == app_id
