"""Access control for the console: administrators only, from allowed networks, after a recent reauthentication.

A session must have a recent verification as strong as the administrator's strongest method (``require_fresh``). That
opens a visit, which ends after ``LATCHKEY_ADMIN_IDLE`` without use, and at the latest ``LATCHKEY_ADMIN_ABSOLUTE`` after
it was opened (ASVS 7.3.1, 7.3.2). Every change requires ``require_fresh`` again. API clients use an API token with the
scope ``admin``: only an administrator can create one, after ``require_fresh``, and it stops working once its owner is
no longer an administrator.

The first administrator is created by a one-time link that the command line prints.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from flask import Flask, Response, abort, g, request
from flask_login import current_user
from sqlalchemy.dialects.postgresql import insert  # SQLite supports this INSERT as well

from app import clock
from app.admin import bp
from app.admin.models import AdminLink, AdminVisit
from app.audit import record
from app.crypto import secrets
from app.db.retention import delete_batch
from app.errors import ReauthenticationRequired, Rejected
from app.extensions import db, execute_update, settings, this_app
from app.login.freshness import require_fresh
from app.sessions.models import AuthSession
from app.sessions.store import current_session
from app.users import User, administrators
from app.users.administrators import is_administrator
from app.web.access import SCOPE_OF_CONSOLE, require_scope_of
from app.web.csrf import SAFE_METHODS
from app.web.errors import error_answer, unauthenticated
from app.web.messages import message

SEEN_EVERY = timedelta(minutes=1)
"""Minimum interval between updates of a visit's ``seen_at``, so that most requests only read."""

FOR_OTHERS = frozenset(("admin.first", "admin.become_first"))
"""Endpoints open to people who aren't administrators yet."""

_HERE = "latchkey.console_is_here"
_visit = AdminVisit.__table__

FIRST_LINK_LIVES = timedelta(minutes=15)

_link = AdminLink.__table__


def init_app(app: Flask) -> None:
    """Require the console's scope for API tokens at every console URL."""
    require_scope_of(app, bp.name, SCOPE_OF_CONSOLE)


def open_here(app: Flask) -> None:
    """Serve the console from this process, for consoles that listen on an address of their own."""
    app.extensions[_HERE] = True


@bp.before_request
def admit() -> Response | None:
    """Allow requests of administrators only, with an open visit or an API token, where the console is enabled."""
    if not _is_here() or not _comes_from(settings.admin_networks, g.get("client_address", "")):
        abort(404)
    if request.endpoint in FOR_OTHERS:
        return None
    session = current_session()
    if session is None:
        return unauthenticated()
    if not is_administrator(session.user_id):
        return error_answer(403, message("not_administrator"))
    if session.kind != "personal":
        (_enter if request.method in SAFE_METHODS else require_fresh)(session)
    return None


def actor() -> str:
    """Return how events name the administrator making this request."""
    return f"admin:{current_user.handle}"


def record_action(act: str, subject: str = "", **facts: Any) -> None:
    """Record what the current administrator did, in addition to the event of the service that did it.

    :param act: past tense: ``account_disabled``
    :param subject: handle of the affected account, or name of the group, client or message
    """
    record(f"admin.{act}", current_user.id, subject=subject, **facts)


def is_fresh() -> bool:
    """Return whether changes are allowed now, without reauthenticating first."""
    session = current_session()
    if session is not None and session.kind == "personal":
        return True
    try:
        require_fresh(session)
    except ReauthenticationRequired:
        return False
    return True


def _enter(session: AuthSession) -> None:
    """Continue this session's visit, or open a new one.

    :raises ReauthenticationRequired: when the visit is over and there is no fresh verification to open another
    """
    now = clock.now()
    mine = sa.select(_visit.c.opened_at, _visit.c.seen_at).where(_visit.c.session_id == session.session_id)
    visit = db.session.execute(mine).first()
    is_open = visit and now < visit.opened_at + settings.admin_absolute and now < visit.seen_at + settings.admin_idle
    if not is_open:
        require_fresh(session)
        if request.method == "HEAD":
            return
        row = {"session_id": session.session_id, "user_id": session.user_id, "opened_at": now, "seen_at": now}
        opened = insert(_visit).values(row)
        again = opened.on_conflict_do_update(index_elements=["session_id"], set_={"opened_at": now, "seen_at": now})
        db.session.execute(again.execution_options(autocommit=True))
        record("admin.console_opened", session.user_id, autocommit=True)
    elif visit and now - visit.seen_at > SEEN_EVERY and request.method != "HEAD":
        used = sa.update(_visit).where(_visit.c.session_id == session.session_id).values(seen_at=now)
        db.session.execute(used.execution_options(autocommit=True, synchronize_session=False))


def _is_here() -> bool:
    """Return whether this process serves the console. Every process does unless the console has its own address."""
    return settings.admin and (not settings.admin_listen or bool(this_app().extensions.get(_HERE)))


def _comes_from(networks: Sequence[str], address: str) -> bool:
    return not networks or _is_in(tuple(networks), address)


@lru_cache(maxsize=1024)
def _is_in(networks: tuple[str, ...], address: str) -> bool:
    try:
        here = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(here in ipaddress.ip_network(network) for network in networks)


def new_first_link() -> str:
    """Return a link that makes the first person who opens it an administrator, and invalidate earlier links."""
    token, now = secrets.token(), clock.now()
    db.session.execute(sa.delete(_link).where(_link.c.used_at.is_(None)))
    db.session.execute(sa.insert(_link).values(digest=secrets.digest(token), expires_at=now + FIRST_LINK_LIVES))
    record("admin.link_made", by="operator")
    return f"{settings.public_url}/admin/first?token={token}"


def is_first_link_open(token: str) -> bool:
    """Return whether a link's token can still be used."""
    return db.session.scalar(sa.select(_link.c.digest).where(*_open(token))) is not None


def use_first_link(token: str, user: User) -> None:
    """Make an account an administrator with a link's token, and mark the token as used.

    :raises Rejected: ``admin_link_invalid`` when the token is unknown, used or expired
    """
    if execute_update(sa.update(_link).where(*_open(token)).values(used_at=clock.now())) != 1:
        raise Rejected("admin_link_invalid")
    administrators.grant(user.id, by="link")
    record("administrator.added", user.id, by="link")


def _open(token: str) -> tuple[sa.ColumnElement[bool], ...]:
    return _link.c.digest == secrets.digest(token), _link.c.used_at.is_(None), _link.c.expires_at > clock.now()


def prune_visits() -> int:
    """Delete a batch of visits older than ``LATCHKEY_ADMIN_ABSOLUTE``; return how many."""
    return delete_batch(db.session, AdminVisit, AdminVisit.opened_at < clock.now() - settings.admin_absolute)


def prune_links() -> int:
    """Delete a batch of expired links; return how many."""
    return delete_batch(db.session, AdminLink, AdminLink.expires_at < clock.now())
