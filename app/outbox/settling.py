"""Write down how tries to send ended. What has left must not leave again because we could not note it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa
import structlog

from app.audit import record
from app.database import unavailable, write_lightly
from app.extensions import db
from app.kit import clock
from app.outbox.models import ABANDONED, SENDING, SENT, Message

if TYPE_CHECKING:
    from app.outbox.delivery import Outcome

log = structlog.get_logger()

PAUSES = (0.1, 0.3, 1, 3, 5, 5, 5, 5, 5, 5)
"""Seconds between tries to write while the database is away: together less than a lease."""


def settle(outcomes: Sequence[Outcome]) -> None:
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
    write_lightly(db.session.connection())  # a mark lost in a power cut costs a second copy, which is the same
    sent = [outcome.message for outcome in outcomes if outcome.state == SENT]
    if sent:
        left = {"state": SENT, "sent_at": clock.now(), "next_attempt_at": None, "lease_until": None, "last_error": ""}
        _update(sent, left)
    for message in sent:
        if message.challenge_id:
            user_id = message.user_id if names_users else None
            facts: dict[str, Any] = {"message": message.id, "channel": message.channel}
            record("challenge.sent", user_id, challenge_id=message.challenge_id, **facts)
    for outcome in outcomes:
        if outcome.state != SENT:
            _write_unsent(outcome, outcome.message.user_id if names_users else None)


def _write_unsent(outcome: Outcome, user_id: int | None) -> None:
    message = outcome.message
    values: dict[str, Any]
    values = {
        "state": outcome.state,
        "next_attempt_at": outcome.due,
        "lease_until": None,
        "last_error": outcome.reason[:80],
    }
    if not outcome.counts:
        values["attempts"] = message.attempts - 1
    if _update([message], values) and outcome.state == ABANDONED:
        facts: dict[str, Any] = {
            "message": message.id,
            "kind": message.kind,
            "channel": message.channel,
            "reason": outcome.reason,
        }
        record("delivery.failed", user_id, challenge_id=message.challenge_id, **facts)


def _update(messages: Sequence[Message], values: dict[str, Any]) -> int:
    """Change messages that this worker still holds; return how many those are."""
    held = [
        Message.id.in_([message.id for message in messages]),
        Message.state == SENDING,
        Message.lease_until == messages[0].lease_until,  # a batch is claimed at one moment, so it has one lease
    ]
    statement = sa.update(Message).where(*held).values(values).execution_options(synchronize_session=False)
    return cast("sa.CursorResult[Any]", db.session.execute(statement)).rowcount
