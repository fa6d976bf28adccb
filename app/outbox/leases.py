"""Leases: claim due rows, renew the lease of messages while they are being sent, and record the results.

Conditional updates give each row to exactly one worker. Recording results is retried, since a message that was sent
must not be sent again because the write failed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa
import structlog

from app import clock
from app.audit import record_each
from app.db import unavailable, use_async_commit
from app.db.compiled import CompiledStatement, Detached, update_detached
from app.extensions import db, execute_update
from app.outbox.models import ABANDONED, DROPPED, SENDING, SENT, WAITING, Message

if TYPE_CHECKING:
    from app.outbox.delivery import Outcome

LEASE = timedelta(seconds=60)
"""How long a worker holds a claimed row unless it renews the lease. After a crash the row is due again when it ends."""

RENEW_AFTER = timedelta(seconds=20)


def claiming(
    key: sa.Column[Any], due_at: sa.Column[Any], *order: Any, wanted: Any = (), most: Any = 1, **values: Any
) -> sa.Update:
    """Return the statement that claims due rows of a table. Each row goes to exactly one worker.

    It runs in its own transaction and returns whole rows. Its parameters are ``now``, and ``lease``: the end of the
    lease, at which a row is due again.

    :param order: sort order; defaults to longest overdue first
    :param wanted: additional conditions
    :param most: maximum number of rows to claim
    :param values: additional columns to set
    """
    is_due = due_at <= sa.bindparam("now")
    # A CTE runs once. PostgreSQL may run a subquery several times, and the limit would apply to each run separately.
    due_now = sa.select(key).where(*wanted, is_due).order_by(*(order or (due_at,))).limit(most)
    ids = sa.select(due_now.with_for_update(skip_locked=True).cte("due_now"))
    changes = {due_at.name: sa.bindparam("lease")} | values
    claim = sa.update(key.table).where(key.in_(ids), is_due).values(changes).returning(*key.table.c)
    return claim.execution_options(autocommit=True)


def claim_rows(statement: sa.Update, **parameters: Any) -> Sequence[sa.Row[Any]]:
    """Run a statement from ``claiming`` and return the rows this worker now holds until their lease ends."""
    now = clock.now()
    return db.session.execute(statement, {"now": now, "lease": now + LEASE} | parameters).all()


_ROWS = Detached(Message)
_message = Message.__table__
_due_at = _message.c.next_attempt_at
_zero: sa.ColumnElement[int] = sa.literal_column("0")  # a literal: partial indexes can't match a parameter
_is_new, _is_retry = _message.c.attempts == _zero, _message.c.attempts > _zero


def _claim_statement(*wanted: sa.ColumnElement[bool], order: Any = _due_at, most: Any = None) -> sa.Update:
    taken = {"state": SENDING, "attempts": _message.c.attempts + 1, "lease_until": sa.bindparam("lease")}
    return claiming(_message.c.id, _due_at, order, wanted=wanted, most=most, **taken)


_at_destination, _most = _message.c.destination == sa.bindparam("there"), sa.bindparam("most", type_=sa.Integer)
_CLAIM = _claim_statement(_message.c.id.in_(sa.bindparam("ids", expanding=True)), order=_message.c.id)
_CLAIM_NEWEST = _claim_statement(_at_destination, _is_new, order=_due_at.desc(), most=_most)
_CLAIM_OLDEST = _claim_statement(_at_destination, _is_new, most=_most)
_CLAIM_TRIED = _claim_statement(_at_destination, _is_retry, most=_most)


def _by_destination(wanted: sa.ColumnElement[bool], tried: int) -> sa.Select[Any]:
    kind: sa.ColumnElement[int] = sa.literal_column(str(tried))
    return (
        sa.select(_message.c.destination, kind, sa.func.min(_due_at), sa.func.max(_due_at))
        .where(wanted, _due_at <= sa.bindparam("now"))
        .group_by(_message.c.destination)
    )


_DUE = CompiledStatement(sa.union_all(_by_destination(_is_new, 0), _by_destination(_is_retry, 1)))

_RENEW = (
    sa.update(_message)
    .where(
        _message.c.id.in_(sa.bindparam("ids", expanding=True)),
        _message.c.state == SENDING,
        _message.c.lease_until == sa.bindparam("held"),
    )
    .values(lease_until=sa.bindparam("lease"), next_attempt_at=sa.bindparam("lease"))
    .execution_options(autocommit=True)
)


@dataclass(frozen=True, slots=True)
class Due:
    """Due messages to one destination, either new ones or retries.

    :ivar since: earliest due time among them
    :ivar newest: latest due time among them
    """

    destination: str
    tried: bool
    since: datetime
    newest: datetime


def due() -> list[Due]:
    """Return the destinations with due messages, in no particular order. One statement."""
    rows = _DUE.all(now=clock.now())
    db.session.close()
    return [Due(destination, bool(tried), since, newest) for destination, tried, since, newest in rows]


def claim_from(which: Due, most: int, *, newest: bool = False) -> list[Message]:
    """Claim up to ``most`` of these messages for this worker and return them in creation order.

    Runs in its own transaction. Claims the longest overdue ones or, if they are new and ``newest`` is set, the newest.
    """
    statement = _CLAIM_TRIED if which.tried else _CLAIM_NEWEST if newest else _CLAIM_OLDEST
    return _claimed(claim_rows(statement, there=which.destination, most=most))


def claim(ids: Sequence[str]) -> list[Message]:
    """Claim those of these messages that are due and return them in creation order.

    Runs in its own transaction. Skips messages that another worker holds or that are settled.
    """
    return _claimed(claim_rows(_CLAIM, ids=list(ids)))


def _claimed(rows: Sequence[Sequence[Any]]) -> list[Message]:
    db.session.close()  # don't hold a connection while waiting for a mail server
    claimed: list[Message] = [message for row in rows for message in _ROWS.read(row)]
    return sorted(claimed, key=lambda message: message.created_at)


@dataclass(eq=False, slots=True)
class SendingBatch:
    """Messages this process is sending. The lock guards their lease."""

    messages: Sequence[Message]
    lock: threading.Lock = field(default_factory=threading.Lock)


_sending_batches: set[SendingBatch] = set()


@contextmanager
def sending(messages: Sequence[Message]) -> Iterator[SendingBatch]:
    """Have ``renew`` keep the lease of these messages alive until the block ends."""
    batch = SendingBatch(messages)
    _sending_batches.add(batch)
    try:
        yield batch
    finally:
        _sending_batches.discard(batch)


def renew() -> None:
    """Renew leases that this process has held longer than ``RENEW_AFTER``. Needs an app context."""
    for batch in list(_sending_batches):
        if batch.lock.acquire(blocking=False):  # otherwise its results are being recorded
            try:
                _renew(batch.messages)
            finally:
                batch.lock.release()


def _renew(messages: Sequence[Message]) -> None:
    now, until = clock.now(), messages[0].lease_until
    if until is None or until - LEASE + RENEW_AFTER > now:
        return
    if execute_update(_RENEW, {"ids": [message.id for message in messages], "held": until, "lease": now + LEASE}):
        for message in messages:
            update_detached(message, lease_until=now + LEASE)


def retry(ids: Sequence[str] | None) -> list[Message]:
    """Requeue abandoned messages, all of them for None, with their attempts reset; return the requeued ones.

    Skips expired messages. The caller commits.
    """
    now = clock.now()
    alive = sa.or_(Message.expires_at.is_(None), Message.expires_at > now)
    wanted = [Message.state == ABANDONED, alive]
    if ids is not None:
        wanted.append(Message.id.in_(ids))
    fresh = {"state": WAITING, "attempts": 0, "next_attempt_at": now, "last_error": ""}
    options = {"synchronize_session": False, "populate_existing": True}
    statement = sa.update(Message).where(*wanted).values(fresh).returning(Message).execution_options(**options)
    return list(db.session.scalars(statement))


def prune(keep: timedelta, most: int = 1000) -> int:
    """Delete up to ``most`` settled messages created more than ``keep`` ago; return how many."""
    old = Message.created_at < clock.now() - keep
    ids = sa.select(Message.id).where(old, Message.next_attempt_at.is_(None)).order_by(Message.created_at).limit(most)
    statement = (
        sa.delete(Message).where(Message.id.in_(ids)).execution_options(synchronize_session=False, autocommit=True)
    )
    return cast("sa.CursorResult[Any]", db.session.execute(statement)).rowcount


log = structlog.get_logger()

WRITE_RETRY_DELAYS = (0.1, 0.3, 1, 3, 5, 5, 5, 5, 5, 5)
"""Seconds between attempts to write while the database is unavailable. Their sum is less than a lease."""

_still_held = (
    _message.c.id.in_(sa.bindparam("ids", expanding=True)),
    _message.c.state == SENDING,
    _message.c.lease_until == sa.bindparam("lease"),  # a batch is claimed by one statement and shares one lease
)
_SENT = (
    sa.update(_message)
    .where(*_still_held)
    .values(
        state=SENT,
        sent_at=sa.bindparam("now"),
        next_attempt_at=None,
        lease_until=None,
        last_error="",
        provider=sa.bindparam("by"),
    )
    .returning(_message.c.id)
)
_UNSENT = (
    sa.update(_message)
    .where(*_still_held)
    .values(
        state=sa.bindparam("new_state"),
        next_attempt_at=sa.bindparam("due"),
        lease_until=None,
        last_error=sa.bindparam("reason"),
        attempts=_message.c.attempts - sa.bindparam("back"),
    )
)


def record_results(outcomes: Sequence[Outcome]) -> None:
    """Write and commit these outcomes in one transaction, retrying for half a minute if the database is unavailable.

    Skips messages whose lease has since passed to another worker.
    """
    if not outcomes:
        return
    names_users = True
    for pause in (*WRITE_RETRY_DELAYS, None):
        try:
            _write(outcomes, names_users)
            db.session.commit()
        except sa.exc.IntegrityError:
            db.session.rollback()
            if not names_users:
                raise
            names_users = False  # an account was deleted while its message was being sent
        except Exception as error:
            db.session.rollback()
            if pause is None or not unavailable(error):
                raise
            log.warning("outbox.cannot_settle", messages=len(outcomes), error=type(error).__name__)
            time.sleep(pause)
        else:
            return


def _write(outcomes: Sequence[Outcome], names_users: bool) -> None:
    use_async_commit(db.session.connection())  # losing this in a power cut only sends an identical copy
    sent_outcomes = [outcome for outcome in outcomes if outcome.state == SENT]
    sent, marked = [outcome.message for outcome in sent_outcomes], _mark_sent(sent_outcomes)
    facts = [
        _event(each, names_users, channel=each.channel) for each in sent if each.challenge_id and each.id in marked
    ]
    record_each("challenge.sent", facts)
    given_up = [outcome for outcome in outcomes if outcome.state != SENT and _write_unsent(outcome)]
    reported = [each for each in given_up if each.state == ABANDONED or (each.state == DROPPED and each.reason)]
    why = [_event(each.message, names_users, **_failure_facts(each)) for each in reported]
    record_each("delivery.failed", why)


def _event(message: Message, names_user: bool, **facts: Any) -> dict[str, Any]:
    user_id = message.user_id if names_user else None
    return {"user_id": user_id, "challenge_id": message.challenge_id, "facts": {"message": message.id} | facts}


def _failure_facts(outcome: Outcome) -> dict[str, str]:
    return {"kind": outcome.message.kind, "channel": outcome.message.channel, "reason": outcome.reason}


def _write_unsent(outcome: Outcome) -> bool:
    """Record that a message was not sent; return whether this worker still held it."""
    back = 0 if outcome.counts else 1
    new = {"new_state": outcome.state, "due": outcome.due, "reason": outcome.reason[:80], "back": back}
    return _update(_UNSENT, [outcome.message], **new) > 0


def _mark_sent(outcomes: Sequence[Outcome]) -> frozenset[str]:
    """Mark messages this worker still holds as sent, with the provider that accepted them; return their ids."""
    marked: set[str] = set()
    for provider in {outcome.provider for outcome in outcomes}:
        messages = [outcome.message for outcome in outcomes if outcome.provider == provider]
        parameters = {"ids": [message.id for message in messages], "lease": messages[0].lease_until}
        marked.update(db.session.scalars(_SENT, parameters | {"now": clock.now(), "by": provider}))
    return frozenset(marked)


def _update(statement: sa.Update, messages: Sequence[Message], **values: Any) -> int:
    """Update the messages that this worker still holds; return how many."""
    parameters = {"ids": [message.id for message in messages], "lease": messages[0].lease_until}
    return execute_update(statement, parameters | values)
