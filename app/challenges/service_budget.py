"""Send limits of the whole service: totals, countries, and a breaker for texts that nobody redeems.

Looked at when a message is about to leave, so that no answer tells of it, and it costs no request anything. What does
not leave is dropped: whoever waits for it asks again.
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
from app.throttling.service_totals import FIRST, is_over, past, take
from app.users import identifiers

log = structlog.get_logger()

HOUR = timedelta(hours=1)
PREFIX = 8
"""Characters of a number that name a range of numbers: + and seven digits."""

_c = SendWindow.__table__.c
_STOP = (
    FIRST.on_conflict_do_update(
        index_elements=[_c.id], set_={"began_at": sa.bindparam("now"), "count": 1}, where=is_over
    )
    .returning(_c.id)
    .execution_options(at_once=True)
)
_STOPPED = sa.select(_c.id).where(_c.id.in_(sa.bindparam("names", expanding=True)), ~is_over)
_texts = sa.func.substr(Message.to, 1, PREFIX)
_REDEEMED = (
    sa.select(_texts, sa.func.min(Message.to), sa.func.count(), sa.func.count(Challenge.spent_at))
    .join(Challenge, Challenge.id == Message.challenge_id)
    .where(Message.channel == "sms", Message.sent_at > sa.bindparam("since"))
    .group_by(_texts)
)


def may_leave(messages: Sequence[Message]) -> set[str]:
    """Return the ids of those messages with passcodes that may leave now, and count them as left.

    A statement or two for all mails together. A message that was tried before is not counted again.
    """
    near = [message for message in messages if _is_near(message)]
    fresh = [message for message in near if settings.limits and message.attempts == 1 and not message.last_error]
    leaving = {message.id for message in near} - {message.id for message in fresh}
    wanted = [message for message in fresh if message.channel == "sms"]
    texts = [message for message in wanted if _is_used(message)]
    if len(texts) < len(wanted):
        metrics.REFUSALS.count("sms_breaker", by=len(wanted) - len(texts))
    for channel, waiting in (("mail", [each for each in fresh if each.channel == "mail"]), ("sms", texts)):
        leaving |= {message.id for message in _within_totals(channel, waiting)}
    return leaving


def _within_totals(channel: str, waiting: Sequence[Message]) -> list[Message]:
    """Return those of these messages for which something of the totals is left.

    Letters to known browsers are counted apart, up to the whole figure, and others to people with an account before
    those that anybody can have sent to any address: those have no more than what is not kept for people, and each
    address has a budget of its own.
    """
    by_rank: dict[str, list[Message]] = {}
    for message in waiting:
        by_rank.setdefault(str(message.facts.get("rank", "")), []).append(message)
    strangers, people, known = (by_rank.get(rank, []) for rank in ("", "person", "known"))
    known = known[: take(channel, "known", len(known))]
    people = people[: take(channel, "overall", len(people))]
    strangers = by_destination.within(channel, strangers)
    strangers = strangers[: take(channel, "strangers", len(strangers))]
    strangers = strangers[: take(channel, "overall", len(strangers))]
    return [*known, *people, *strangers]


def _is_near(message: Message) -> bool:
    """Say whether a message goes where messages go: a text to a country that is listed."""
    if message.channel != "sms" or may_be_texted(message.to):
        return True
    record("budget.exhausted", message.user_id, at_once=True, budget="sms_countries")
    return False


def may_be_texted(number: str) -> bool:
    """Say whether ``number`` lies in a country to which texts are sent; in development all do unless some are named."""
    allowed = settings.sms_countries
    return country_of(number) in allowed if allowed or settings.is_production else True


@lru_cache(maxsize=4096)
def country_of(number: str) -> str:
    """Return the country (ISO 3166, two letters) of a number in E.164, or "" for one of no country."""
    return identifiers.country(number)


def _is_used(message: Message) -> bool:
    """Say whether texts to this number's country and range are used often enough to go on with them."""
    now = clock.now()
    names = {f"stopped:{country_of(message.to)}", f"stopped:{message.to[:PREFIX]}"}
    if db.session.scalars(_STOPPED, {"names": list(names)} | past(now, settings.sms_breaker_rest)).first():
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
    open_since = {"window": name, "more": 1, "now": now} | past(now, settings.sms_breaker_rest)
    if db.session.scalar(_STOP, open_since) is not None:
        facts: dict[str, Any] = {"budget": "sms_breaker", "to": name.partition(":")[2], "sent": count, "used": used}
        record("budget.exhausted", at_once=True, **facts)
        log.warning("budget.exhausted", **facts)
