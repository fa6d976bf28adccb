"""Record the results of tries. A message that has left must not be sent again because that failed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import structlog

from app import clock
from app.audit import record_each
from app.db import unavailable, use_async_commit
from app.extensions import changed, db
from app.outbox.models import ABANDONED, SENDING, SENT, Message

if TYPE_CHECKING:
    from app.outbox.delivery import Outcome

log = structlog.get_logger()

PAUSES = (0.1, 0.3, 1, 3, 5, 5, 5, 5, 5, 5)
"""Seconds between tries to write while the database is away: together less than a lease."""

_message = Message.__table__
_held = (
    _message.c.id.in_(sa.bindparam("ids", expanding=True)),
    _message.c.state == SENDING,
    _message.c.lease_until == sa.bindparam("lease"),  # a batch is claimed at one moment, so it has one lease
)
_SENT = (
    sa.update(_message)
    .where(*_held)
    .values(state=SENT, sent_at=sa.bindparam("now"), next_attempt_at=None, lease_until=None, last_error="")
    .returning(_message.c.id)
)
_UNSENT = (
    sa.update(_message)
    .where(*_held)
    .values(
        state=sa.bindparam("new_state"),
        next_attempt_at=sa.bindparam("due"),
        lease_until=None,
        last_error=sa.bindparam("reason"),
        attempts=_message.c.attempts - sa.bindparam("back"),
    )
)


def record_results(outcomes: Sequence[Outcome]) -> None:
    """Write these outcomes in one transaction and commit it, trying for half a minute when the database is away.

    Messages whose lease another worker has taken over meanwhile are left to it.
    """
    if not outcomes:
        return
    names_users = True
    for pause in (*PAUSES, None):
        try:
            _write(outcomes, names_users)
            db.session.commit()
        except sa.exc.IntegrityError:
            db.session.rollback()
            if not names_users:
                raise
            names_users = False  # an account was deleted while its message was on its way
        except Exception as error:
            db.session.rollback()
            if pause is None or not unavailable(error):
                raise
            log.warning("outbox.cannot_settle", messages=len(outcomes), error=type(error).__name__)
            time.sleep(pause)
        else:
            return


def _write(outcomes: Sequence[Outcome], names_users: bool) -> None:
    use_async_commit(db.session.connection())  # a mark lost in a power cut costs a second copy, which is the same
    sent = [outcome.message for outcome in outcomes if outcome.state == SENT]
    held = _mark_sent(sent) if sent else frozenset()
    told = [_about(each, names_users, channel=each.channel) for each in sent if each.challenge_id and each.id in held]
    record_each("challenge.sent", told)
    given_up = [outcome for outcome in outcomes if outcome.state != SENT and _write_unsent(outcome)]
    why = [_about(each.message, names_users, **_why(each)) for each in given_up if each.state == ABANDONED]
    record_each("delivery.failed", why)


def _about(message: Message, names_user: bool, **facts: Any) -> dict[str, Any]:
    user_id = message.user_id if names_user else None
    return {"user_id": user_id, "challenge_id": message.challenge_id, "facts": {"message": message.id} | facts}


def _why(outcome: Outcome) -> dict[str, str]:
    return {"kind": outcome.message.kind, "channel": outcome.message.channel, "reason": outcome.reason}


def _write_unsent(outcome: Outcome) -> bool:
    """Write down what did not leave; return whether this worker still had it."""
    back = 0 if outcome.counts else 1
    new = {"new_state": outcome.state, "due": outcome.due, "reason": outcome.reason[:80], "back": back}
    return _change(_UNSENT, [outcome.message], **new) > 0


def _mark_sent(messages: Sequence[Message]) -> frozenset[str]:
    """Mark those as sent that this worker still holds; return their ids."""
    held = {"ids": [message.id for message in messages], "lease": messages[0].lease_until, "now": clock.now()}
    return frozenset(db.session.scalars(_SENT, held))


def _change(statement: sa.Update, messages: Sequence[Message], **values: Any) -> int:
    """Change messages that this worker still holds; return how many those are."""
    held = {"ids": [message.id for message in messages], "lease": messages[0].lease_until}
    return changed(statement, held | values)
