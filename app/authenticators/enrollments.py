"""A user's enrollments: add, find and remove them."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from app.challenges.passcodes import enrolled_context, new_secret
from app.crypto import secrets
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import db, execute_update, keyring
from app.user_input import shows_all

_OF_USER = sa.select(Enrollment).where(Enrollment.user_id == sa.bindparam("user_id")).order_by(Enrollment.created_at)


def enroll(
    user_id: int,
    method: str,
    secret: str | None = None,
    *,
    last_step: int = 0,
    name: str = "",
    session_id: str | None = None,
    weak_until: datetime | None = None,
    signs_in: bool | None = None,
    is_second: bool = False,
) -> Enrollment:
    """Add a sign-in method, with its secret encrypted and bound to the row.

    :param secret: base32 TOTP secret or password hash; a new TOTP secret if None
    :param session_id: the session that sets it up, if any
    :param weak_until: end of its cooldown (``assurance.cooldown_end``); None if it has none
    :param signs_in: for an authenticator app, see ``Enrollment.signs_in``
    :param is_second: whether it is required as a second factor
    """
    row = Enrollment(id=secrets.row_id(), user_id=user_id, method=method, last_step=last_step, name=name)
    row.session_id, row.weak_until, row.signs_in, row.is_second = session_id, weak_until, signs_in, is_second
    row.secret = keyring.seal((secret or new_secret()).encode(), *enrolled_context(row))
    db.session.add(row)
    db.session.flush()
    return row


def replace(
    user_id: int,
    method: str,
    secret: str | None = None,
    *,
    session_id: str | None = None,
    weak_until: datetime | None = None,
) -> Enrollment:
    """Replace the user's enrollment of this method, if any. A second factor stays one."""
    was_second = any(row.is_second for row in enrolled_of(user_id) if row.method == method)
    remove(user_id, method)
    row = enroll(user_id, method, secret, session_id=session_id, weak_until=weak_until)
    if was_second:
        mark_second_factor(user_id, method)
    return row


def set_session(user_id: int, method: str, session_id: str) -> None:
    """Record the session opened by a sign-in as the one that set up this method during that sign-in."""
    mine = (Enrollment.user_id == user_id, Enrollment.method == method, Enrollment.session_id.is_(None))
    execute_update(sa.update(Enrollment).where(*mine).values(session_id=session_id))


def mark_second_factor(user_id: int, method: str) -> int:
    """Require this method as a second factor from now on; return the number of rows marked, 0 if there are none."""
    mine = (Enrollment.user_id == user_id, Enrollment.method == method)
    return execute_update(sa.update(Enrollment).where(*mine).values(is_second=True, misses=0))


def unmark_second_factors(user_id: int) -> int:
    """Stop requiring a second factor of this user; return how many enrollments were one."""
    mine = (Enrollment.user_id == user_id, Enrollment.is_second)
    return execute_update(sa.update(Enrollment).where(*mine).values(is_second=False, misses=0))


def remove(user_id: int, method: str) -> int:
    """Remove a user's enrollments of this method; return how many. Their challenges can then no longer be answered."""
    mine = (Enrollment.user_id == user_id, Enrollment.method == method)
    return execute_update(sa.delete(Enrollment).where(*mine))


def enrolled_of(user_id: int | None) -> list[Enrollment]:
    """Return all enrollments of a user; an empty list for None, at the same cost."""
    return list(db.session.scalars(_OF_USER, {"user_id": user_id or 0}))


MAX_NAME_LENGTH = 64
"""Maximum length of a name."""


def checked_name(name: str, field: str, *, required: str, disallowed: str) -> str:
    """Return the normalized ``name``: NFKC, with single spaces.

    :param required: error code if nothing is left
    :param disallowed: error code for invisible characters
    :raises Rejected: on ``field``: these, ``invalid_input_length`` or ``invalid_input`` (markup)
    """
    tidy = " ".join(unicodedata.normalize("NFKC", name).split())
    if not tidy:
        raise Rejected(required, field=field)
    if len(tidy) > MAX_NAME_LENGTH:
        raise Rejected("invalid_input_length", field=field, length=MAX_NAME_LENGTH)
    if set(tidy) & set("<>"):
        raise Rejected("invalid_input", field=field)
    if not shows_all(tidy) or any(unicodedata.category(character).startswith("C") for character in tidy):
        raise Rejected(disallowed, field=field)
    return tidy


def numbered_name(plain: str, taken: Collection[str]) -> str:
    """Return ``plain``, with a number appended if it is taken."""
    number = 1
    while (name := plain if number == 1 else f"{plain} {number}") in taken:
        number += 1
    return name
