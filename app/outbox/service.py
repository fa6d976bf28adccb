"""Enqueue messages in the same transaction as the work they report."""

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
"""Notice to an app that a session in which someone was signed in to it has ended."""

CHANNELS = (MAIL, SMS, LOGOUT)
_MAX_RECIPIENT_LENGTH = 254

SECRET_FACT_NAMES = frozenset(("code", "link", "passcode", "password", "secret", "token", "url"))
"""Fact names that would store a secret in the database. Renderers derive such values at send time."""

ENQUEUED = "latchkey.enqueued"

_NEW: dict[str, Any] = {"state": WAITING, "attempts": 0, "last_error": "", "provider": ""}

_user = User.__table__
_owner_language = sa.select(_user.c.language).where(_user.c.id == sa.bindparam("owner")).scalar_subquery()
_language = sa.func.coalesce(_owner_language, sa.bindparam("reader", type_=sa.String(16)))
"""A message to an account uses the account's language, any other message the language of the request."""

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
    """Enqueue a message in the current transaction, with one INSERT. A worker sends it only after the commit.

    :param kind: selects the renderer
    :param channel: "mail", "sms" or "logout"
    :param to: canonical address or phone number, or client id
    :param expires_at: time after which the message must not be sent
    :param decoy: if True, do all the work but send nothing
    :param facts: plain JSON values for the renderer
    :raises ValueError: for an unknown channel, or a fact name listed in ``SECRET_FACT_NAMES``
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
    recipients: Sequence[str],
    *,
    user_id: int | None = None,
    own: Mapping[str, Mapping[str, Any]] | None = None,
    **facts: Any,
) -> None:
    """Enqueue the same message to several addresses in the current transaction, with one INSERT, or none if empty.

    :param own: additional facts for individual messages, by address
    :raises ValueError: as ``enqueue``
    """
    own = own or {}
    enqueue_all(kind, channel, [(user_id, to, facts | dict(own.get(to, {}))) for to in recipients])


def enqueue_all(
    kind: str,
    channel: str,
    messages: Sequence[tuple[int | None, str, dict[str, Any]]],
    *,
    expires_at: datetime | None = None,
) -> None:
    """Enqueue messages of one kind in the current transaction, with one INSERT, or none if empty.

    :param messages: account, recipient and facts of each message
    :raises ValueError: as ``enqueue``
    """
    for _, _, facts in messages:
        _check(channel, facts)
    if not messages:
        return
    now = clock.now()
    shared: dict[str, Any] = {"kind": kind, "channel": channel, "reader": i18n.language(), "expires_at": expires_at}
    shared |= _NEW | {"tag": "", "decoy": False, "created_at": now, "next_attempt_at": now}
    rows = [
        shared
        | {"id": secrets.row_id(), "user_id": user_id, "owner": user_id, "to": to[:_MAX_RECIPIENT_LENGTH]}
        | {"destination": destination_of(channel, to), "facts": facts}
        for user_id, to, facts in messages
    ]
    db.session.execute(_INSERT_EACH, rows)
    for _ in rows:
        metrics.QUEUED.count_when_kept(channel, kind, "no")
    db.session().info.setdefault(ENQUEUED, []).extend(row["id"] for row in rows)


def wake_after_commit() -> None:
    """Wake the workers after this transaction commits, as ``enqueue`` does, because it made other rows due."""
    db.session().info.setdefault(ENQUEUED, []).append("")


def destination_of(channel: str, to: str) -> str:
    """Return the destination under which a message is queued: its mail domain, ``sms``, or ``app:`` and client id."""
    if channel == LOGOUT:
        return f"app:{to}"[:_MAX_RECIPIENT_LENGTH]
    return to.rpartition("@")[2] if channel == MAIL else SMS


def _check(channel: str, facts: dict[str, Any]) -> None:
    if channel not in CHANNELS:
        raise ValueError(f"there is no channel {channel!r}")
    if secret := SECRET_FACT_NAMES.intersection(facts):
        raise ValueError(f"a message must not keep {', '.join(sorted(secret))}")


@event.listens_for(db.session, "after_commit")
def _wake_workers(session: Session) -> None:
    if not session.in_nested_transaction() and session.info.pop(ENQUEUED, ()):
        wakeups.wake()


@event.listens_for(db.session, "after_soft_rollback")
def _discard_wakeup(session: Session, transaction: SessionTransaction) -> None:
    if not transaction.nested:
        session.info.pop(ENQUEUED, None)
