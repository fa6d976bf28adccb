"""Find the account that an administrator names: by an identity, or by its handle."""

from __future__ import annotations

import re

import sqlalchemy as sa

from app.errors import Rejected
from app.extensions import db
from app.users import User, find_by_identity, read_identity

_HANDLE = re.compile(r"[0-9a-f]{32}\Z")


def with_handle(handle: str) -> User | None:
    """Return the account of this handle, if there is one."""
    found: User | None = None
    if _HANDLE.match(handle):
        found = db.session.scalar(sa.select(User).where(User.handle == handle))
    return found


def named(text: str, field: str) -> User:
    """Return the account that an email address, phone number, username or handle names.

    :raises Rejected: ``person_unknown`` on the field
    """
    text = text.strip()
    found = with_handle(text.lower()) or find_by_identity(read_identity(text))
    if found is None:
        raise Rejected("person_unknown", field=field, identity=text[:254])
    return found
