"""Service-wide send limits: totals, allowed countries, and a circuit breaker for SMS codes that no one redeems.

Checked when a message is about to be sent, so that no response reveals the result and requests cost nothing extra.
Messages over a limit are dropped; people who still want one can request another.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
import structlog

from app import clock, metrics
from app.audit import record
from app.challenges.models import Challenge
from app.extensions import db, settings
from app.outbox import Message
from app.throttling import by_destination
from app.throttling.models import SendWindow
from app.throttling.service_totals import FIRST, is_over, take, window_bounds
from app.users import identifiers

log = structlog.get_logger()

HOUR = timedelta(hours=1)
PREFIX = 8
"""Leading characters that identify a range of phone numbers: + and seven digits."""

_c = SendWindow.__table__.c
_STOP = (
    FIRST.on_conflict_do_update(
        index_elements=[_c.id], set_={"began_at": sa.bindparam("now"), "count": 1}, where=is_over
    )
    .returning(_c.id)
    .execution_options(autocommit=True)
)
_STOPPED = sa.select(_c.id).where(_c.id.in_(sa.bindparam("names", expanding=True)), ~is_over)
_texts = sa.func.substr(Message.to, 1, PREFIX)
_REDEEMED = (
    sa.select(_texts, sa.func.min(Message.to), sa.func.count(), sa.func.count(Challenge.spent_at))
    .join(Challenge, Challenge.id == Message.challenge_id)
    .where(Message.channel == "sms", Message.sent_at > sa.bindparam("since"))
    .group_by(_texts)
)


def sendable_ids(messages: Sequence[Message]) -> set[str]:
    """Return the ids of the passcode messages that may be sent now, and count them as sent.

    One or two statements for all emails together. A retried message isn't counted again.
    """
    near = [message for message in messages if _is_country_allowed(message)]
    fresh = [message for message in near if settings.limits and message.attempts == 1 and not message.last_error]
    leaving = {message.id for message in near} - {message.id for message in fresh}
    waiting: dict[str, list[Message]] = {}
    for message in fresh:
        waiting.setdefault(message.channel, []).append(message)
    if texts := waiting.get("sms"):
        waiting["sms"] = [message for message in texts if _is_redeemed_enough(message)]
        if len(waiting["sms"]) < len(texts):
            metrics.REFUSALS.count("sms_breaker", by=len(texts) - len(waiting["sms"]))
    for channel, messages_of_channel in waiting.items():
        leaving |= {message.id for message in _within_totals(channel, messages_of_channel)}
    return leaving


def _within_totals(channel: str, waiting: Sequence[Message]) -> list[Message]:
    """Return the messages that fit into the service-wide totals, and count them.

    Messages requested from known browsers have a separate total of the same size. The others share one. Messages to
    verified addresses take from it first. Those that anyone can trigger for any address can't use the share reserved
    for people with accounts, and each address has a budget of its own.
    """
    by_rank: dict[str, list[Message]] = {}
    for message in waiting:
        by_rank.setdefault(str(message.facts.get("rank", "")), []).append(message)
    strangers, people, known = (by_rank.get(rank, []) for rank in ("", "person", "known"))
    known = known[: take(channel, "known", len(known))]
    people = people[: take(channel, "overall", len(people))]
    strangers = by_destination.within_limits(channel, strangers)
    strangers = strangers[: take(channel, "strangers", len(strangers))]
    strangers = strangers[: take(channel, "overall", len(strangers))]
    return [*known, *people, *strangers]


def _is_country_allowed(message: Message) -> bool:
    """Return whether the destination is allowed: any for email, a listed country for SMS."""
    if message.channel != "sms" or may_be_texted(message.to):
        return True
    record("budget.exhausted", message.user_id, autocommit=True, budget="sms_countries")
    return False


def may_be_texted(number: str) -> bool:
    """Return whether SMS may be sent to the country of ``number``. In development, an empty list allows all."""
    allowed = settings.sms_countries
    return country_of(number) in allowed if allowed or settings.is_production else True


@lru_cache(maxsize=4096)
def country_of(number: str) -> str:
    """Return the country (ISO 3166, two letters) of an E.164 number, or "" if it belongs to none."""
    return identifiers.country(number)


def _is_redeemed_enough(message: Message) -> bool:
    """Return whether enough SMS codes to this number's country and range are redeemed to keep sending there."""
    now = clock.now()
    names = {f"stopped:{country_of(message.to)}", f"stopped:{message.to[:PREFIX]}"}
    if db.session.scalars(_STOPPED, {"names": list(names)} | window_bounds(now, settings.sms_breaker_rest)).first():
        return False
    sent: dict[str, list[int]] = {}
    for prefix, example, count, used in db.session.execute(_REDEEMED, {"since": now - HOUR}):
        for name in (f"stopped:{prefix}", f"stopped:{country_of(example)}"):
            so_far = sent.setdefault(name, [0, 0])
            so_far[:] = so_far[0] + count, so_far[1] + used
    few = [name for name in names if name in sent and _too_few(*sent[name])]
    for name in few:
        _stop(name, *sent[name])
    return not few


def _too_few(count: int, used: int) -> bool:
    return count >= settings.sms_breaker_sends and used * 100 < count * settings.sms_breaker_percent


def _stop(name: str, count: int, used: int) -> None:
    now = clock.now()
    open_since = {"window": name, "more": 1, "now": now} | window_bounds(now, settings.sms_breaker_rest)
    if db.session.scalar(_STOP, open_since) is not None:
        facts: dict[str, Any] = {"budget": "sms_breaker", "to": name.partition(":")[2], "sent": count, "used": used}
        record("budget.exhausted", autocommit=True, **facts)
        log.warning("budget.exhausted", **facts)
