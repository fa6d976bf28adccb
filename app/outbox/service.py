"""Add messages to the outbox, in the transaction of the work they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

from app import clock, i18n, metrics
from app.crypto import secrets
from app.db.compiled import CompiledStatement
from app.extensions import db
from app.outbox import wakeups
from app.outbox.models import WAITING, Message
from app.users import User

MAIL = "mail"
SMS = "sms"
LOGOUT = "logout"
"""To an app: that a session in which somebody was signed in to it is over."""

CHANNELS = (MAIL, SMS, LOGOUT)
_TO = 254

UNKEPT = frozenset(("code", "link", "passcode", "password", "secret", "token", "url"))
"""Names of facts that would put a secret at rest. The renderer derives such things when it sends."""

ENQUEUED = "latchkey.enqueued"

_NEW: dict[str, Any] = {"state": WAITING, "attempts": 0, "last_error": "", "provider": ""}

_user = User.__table__
_of_owner = sa.select(_user.c.language).where(_user.c.id == sa.bindparam("owner")).scalar_subquery()
_language = sa.func.coalesce(_of_owner, sa.bindparam("reader", type_=sa.String(16)))
"""A message to an account is in the account's language, and any other in that of the request."""

_INSERT = CompiledStatement.into(Message.__table__, language=_language)
_INSERT_EACH = sa.insert(Message.__table__).values(language=_language)


def enqueue(
    kind: str,
    channel: str,
    to: str,
    *,
    user_id: int | None = None,
    challenge_id: str | None = None,
    expires_at: datetime | None = None,
    tag: str = "",
    decoy: bool = False,
    **facts: Any,
) -> None:
    """Add a message to this transaction: one INSERT. A worker sends it after the commit, or never.

    :param kind: names the renderer that will say it
    :param channel: "mail", "sms" or "logout"
    :param to: the canonical address or number, or the id of an app
    :param expires_at: the moment after which it must not be sent any more
    :param decoy: True does all the work and sends nothing
    :param facts: plain JSON values for the renderer
    :raises ValueError: for an unknown channel, or a fact whose name says that it is secret
    """
    _check(channel, facts)
    row = _NEW | {"id": secrets.row_id(), "kind": kind, "channel": channel, "to": to, "facts": facts}
    row["destination"] = destination_of(channel, to)
    row |= {"user_id": user_id, "challenge_id": challenge_id, "tag": tag, "decoy": decoy}
    row |= {"owner": user_id, "reader": i18n.language()}
    row["created_at"] = row["next_attempt_at"] = clock.now()
    row["expires_at"] = expires_at
    _INSERT.run(**row)
    metrics.QUEUED.count_when_kept(channel, kind, "yes" if decoy else "no")
    db.session().info.setdefault(ENQUEUED, []).append(row["id"])


def enqueue_each(
    kind: str,
    channel: str,
    where_to: Sequence[str],
    *,
    user_id: int | None = None,
    own: Mapping[str, Mapping[str, Any]] | None = None,
    **facts: Any,
) -> None:
    """Add the same message to each of these addresses to this transaction: one INSERT, none when there are none.

    :param own: by address, the facts that its message alone has
    :raises ValueError: as ``enqueue``
    """
    own = own or {}
    enqueue_all(kind, channel, [(to, facts | dict(own.get(to, {}))) for to in where_to], user_id=user_id)


def enqueue_all(
    kind: str,
    channel: str,
    messages: Sequence[tuple[str, dict[str, Any]]],
    *,
    user_id: int | None = None,
    expires_at: datetime | None = None,
) -> None:
    """Add messages of one kind to this transaction: one INSERT, none when there are none.

    :param messages: where each goes, and its facts
    :raises ValueError: as ``enqueue``
    """
    for _, facts in messages:
        _check(channel, facts)
    if not messages:
        return
    now = clock.now()
    same: dict[str, Any] = {"kind": kind, "channel": channel, "user_id": user_id}
    same |= {"owner": user_id, "reader": i18n.language(), "expires_at": expires_at}
    same |= _NEW | {"tag": "", "decoy": False, "created_at": now, "next_attempt_at": now}
    rows = [
        same | {"id": secrets.row_id(), "to": to[:_TO], "destination": destination_of(channel, to), "facts": facts}
        for to, facts in messages
    ]
    db.session.execute(_INSERT_EACH, rows)
    for _ in rows:
        metrics.QUEUED.count_when_kept(channel, kind, "no")
    db.session().info.setdefault(ENQUEUED, []).extend(row["id"] for row in rows)


def wake_after_commit() -> None:
    """Wake the workers once this transaction is committed, as for a new message: it made others due."""
    db.session().info.setdefault(ENQUEUED, []).append("")


def destination_of(channel: str, to: str) -> str:
    """Return where a message goes, for which it may have to wait for others: its mail domain, ``sms``, or its app."""
    if channel == LOGOUT:
        return f"app:{to}"[:_TO]
    return to.rpartition("@")[2] if channel == MAIL else SMS


def _check(channel: str, facts: dict[str, Any]) -> None:
    if channel not in CHANNELS:
        raise ValueError(f"there is no channel {channel!r}")
    if secret := UNKEPT.intersection(facts):
        raise ValueError(f"a message must not keep {', '.join(sorted(secret))}")


@event.listens_for(db.session, "after_commit")
def _wake_workers(session: Session) -> None:
    if not session.in_nested_transaction() and session.info.pop(ENQUEUED, ()):
        wakeups.wake()


@event.listens_for(db.session, "after_soft_rollback")
def _forget(session: Session, transaction: SessionTransaction) -> None:
    if not transaction.nested:
        session.info.pop(ENQUEUED, None)
