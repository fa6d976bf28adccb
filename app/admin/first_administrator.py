"""The one-time link that makes the first administrator."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from app import clock
from app.admin.models import AdminLink
from app.audit import record
from app.crypto import secrets
from app.errors import Rejected
from app.extensions import changed, db, settings
from app.users import User, administrators

LIVES = timedelta(minutes=15)

_link = AdminLink.__table__


def new_link() -> str:
    """Return a link that makes the first person who opens it an administrator; earlier links no longer work."""
    token, now = secrets.token(), clock.now()
    db.session.execute(sa.delete(_link).where(_link.c.used_at.is_(None)))
    db.session.execute(sa.insert(_link).values(digest=secrets.digest(token), expires_at=now + LIVES))
    record("admin.link_made", by="operator")
    return f"{settings.public_url}/admin/first?token={token}"


def is_open(token: str) -> bool:
    """Say whether a link's token can be used."""
    return db.session.scalar(sa.select(_link.c.digest).where(*_open(token))) is not None


def use(token: str, user: User) -> None:
    """Make an account an administrator by a link's token, which then is used.

    :raises Rejected: ``admin_link_invalid`` when it is none, was used or has expired
    """
    if changed(sa.update(_link).where(*_open(token)).values(used_at=clock.now())) != 1:
        raise Rejected("admin_link_invalid")
    administrators.grant(user.id, by="link")
    record("administrator.added", user.id, by="link")


def _open(token: str) -> tuple[sa.ColumnElement[bool], ...]:
    return _link.c.digest == secrets.digest(token), _link.c.used_at.is_(None), _link.c.expires_at > clock.now()
