"""Security notices: tell a user what was changed about the account, at every address it has.

A notice never asks for an action, and goes to every address: who reads one mailbox can't hide it from the others. Its
sentences are stored as English text and values, and translated when it is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app import clock, i18n, outbox, user_agents
from app.audit import record
from app.authenticators.recovery_codes import FEW, METHOD, stock_of
from app.challenges.service_budget import may_leave
from app.client import ClientContext
from app.extensions import db, settings
from app.outbox import Message
from app.users import AddressChange, Identity

AN_HOUR, A_DAY = timedelta(hours=1), timedelta(days=1)

_REACHED = (
    sa.select(Identity.kind, Identity.value)
    .where(Identity.user_id == sa.bindparam("user_id"), Identity.confirmed_at.is_not(None))
    .where(Identity.kind.in_(("email", "phone")))
    .order_by(Identity.id)
)
_CHANGES = sa.select(AddressChange).where(
    AddressChange.id.in_(sa.bindparam("ids", expanding=True)), AddressChange.undone_at.is_(None)
)
_this_hour = sa.func.sum(sa.case((Message.sent_at > sa.bindparam("hour_ago"), 1), else_=0))
_TEXTED = (
    sa.select(Message.to, _this_hour, sa.func.count())
    .where(Message.channel == "sms", Message.sent_at > sa.bindparam("day_ago"))
    .where(Message.to.in_(sa.bindparam("numbers", expanding=True)))
    .group_by(Message.to)
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence whose values may be times or sentences themselves; ``many`` is its plural, or ""."""

    text: str
    many: str
    facts: Mapping[str, Any]

    def translated(self) -> str:
        """Return it in the reader's language."""
        facts = {name: _shown(value) for name, value in self.facts.items()}
        return i18n.ngettext(self.text, self.many, **facts) if self.many else i18n.gettext(self.text, **facts)

    def stored(self) -> dict[str, Any]:
        """Return it as JSON that ``read`` reads."""
        facts = {name: _stored(value) for name, value in self.facts.items()}
        return {"text": self.text, "many": self.many, "facts": facts}


def sentence(text: str, **facts: Any) -> Sentence:
    """Return a sentence with its values."""
    return Sentence(text, "", facts)


def plural_sentence(one: str, many: str, count: int, **facts: Any) -> Sentence:
    """Return a sentence that depends on a number."""
    return Sentence(one, many, {"count": count} | facts)


def read(stored: Mapping[str, Any]) -> Sentence:
    """Return the sentence that was stored."""
    return Sentence(stored["text"], stored["many"], {name: _read(value) for name, value in stored["facts"].items()})


def joined(sentences: Iterable[Sentence]) -> str:
    """Return sentences as one text in the reader's language."""
    return " ".join(each.translated() for each in sentences)


def _shown(value: Any) -> Any:
    if isinstance(value, Sentence):
        return value.translated()
    return i18n.datetime_text(value) if isinstance(value, datetime) else value


def _stored(value: Any) -> Any:
    if isinstance(value, Sentence):
        return value.stored()
    return {"at": value.isoformat()} if isinstance(value, datetime) else value


def _read(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return datetime.fromisoformat(value["at"]) if "at" in value else read(value)


@dataclass(frozen=True, slots=True)
class NoticeFacts:
    """A notice that may leave, and the change of addresses that it tells of, if that can still be undone."""

    change: AddressChange | None


def notify(
    user_id: int,
    what: Sentence | Sequence[Sentence],
    client: ClientContext,
    *,
    also: Sequence[str] = (),
    session_id: str = "",
    change: AddressChange | None = None,
    by_text: bool = False,
    own: Mapping[str, Sentence] | None = None,
) -> None:
    """Tell the owner of an account ``what`` was changed, by a mail to each of its proved addresses.

    An account that has no such address is told by text message, within the send budgets: what is past them is dropped.
    One statement finds where to, one writes all the messages of a channel.
    :param what: whole sentences, without anything secret, and without a name that somebody gave: whoever sits in a
        session that is not theirs writes no mail to its owner
    :param client: who changed it, as far as it is told: their browser
    :param also: e-mail addresses and numbers that are told besides, as one that is no longer the account's
    :param session_id: of the session that changed it; then each mail says how to deny that session
    :param change: of the addresses, if it was one: then each mail but that to the new address says how to undo it,
        and an account that had no other address before is told by text message as well
    :param by_text: tell every proved number, too
    :param own: by e-mail address, the sentence that is told to it in place of ``what``
    """
    found = db.session.execute(_REACHED, {"user_id": user_id}).all()
    mails = [value for kind, value in found if kind == "email"] + [one for one in also if "@" in one]
    before = set(mails) - {change.new if change else ""}
    texted = by_text or not before
    numbers = [value for kind, value in found if kind == "phone" and texted] + [one for one in also if "@" not in one]
    facts: dict[str, Any] = _told([what] if isinstance(what, Sentence) else what) | {
        "browser": user_agents.label(client.user_agent),
        "family": session_id,
    }
    facts["change"] = change.id if change else ""
    apart = {address: _told([one]) for address, one in (own or {}).items()}
    outbox.enqueue_each("changed", "mail", list(dict.fromkeys(mails)), user_id=user_id, own=apart, **facts)
    outbox.enqueue_each("changed", "sms", list(dict.fromkeys(numbers)), user_id=user_id, **facts)


def _told(sentences: Sequence[Sentence]) -> dict[str, Any]:
    """Return what a notice says, to be translated when it is sent; ``what`` is for a release that can't do that."""
    with i18n.in_english():
        return {"what": joined(sentences), "sentences": [each.stored() for each in sentences]}


def text_of(facts: Mapping[str, Any]) -> str:
    """Return what a notice says, in the reader's language; in English if an earlier release wrote it."""
    return joined(map(read, facts["sentences"])) if "sentences" in facts else str(facts["what"])


def notices_leaving(messages: Sequence[Message]) -> dict[str, NoticeFacts]:
    """Return by message id which notices may leave now: every mail, and those texts that the budgets have room for.

    A number gets no more texts in an hour and a day than codes alone could be. One statement where there are texts,
    and what the service's own budget takes; one where changes of addresses are told of.
    """
    texts = [message for message in messages if message.channel == "sms"]
    leaving = {message.id for message in messages if message.channel != "sms"}
    if texts:
        now = clock.now()
        given = {"numbers": [text.to for text in texts], "hour_ago": now - AN_HOUR, "day_ago": now - A_DAY}
        sent = {to: (hour, day) for to, hour, day in db.session.execute(_TEXTED, given)}
        leaving |= may_leave([text for text in texts if not settings.limits or _has_room(*sent.get(text.to, (0, 0)))])
    ids = {str(message.facts.get("change", "")) for message in messages} - {""}
    found = db.session.scalars(_CHANGES, {"ids": list(ids)}).all() if ids else ()
    changes = {change.id: change for change in found}
    return {
        message.id: NoticeFacts(changes.get(str(message.facts.get("change"))))
        for message in messages
        if message.id in leaving
    }


def _has_room(hour: int, day: int) -> bool:
    return hour < settings.sms_per_hour and day < settings.sms_per_day


def notify_of_use(user_id: int, client: ClientContext, session_id: str = "") -> None:
    """Record that a code was used, and tell the owner how many are left.

    :param session_id: of the session that it was used in, if there was one already
    """
    left = stock_of(user_id).left
    record("recovery.code_used", user_id, method=METHOD, left=left)
    notify(user_id, [sentence("A recovery code was used."), _remaining(left)], client, session_id=session_id)


def notify_of_new_codes(user_id: int, client: ClientContext, session_id: str) -> None:
    """Record that the codes are new, and tell the owner.

    :param session_id: of the session that made them
    """
    record("recovery.regenerated", user_id, method=METHOD)
    what = sentence("New recovery codes were created. Any previous codes no longer work.")
    notify(user_id, what, client, session_id=session_id)


def _remaining(left: int) -> Sentence:
    """Say how many codes are left, and that it is time for new ones when it is."""
    if left == 0:
        return sentence("No codes are left: create new ones.")
    if left <= FEW:
        return plural_sentence(
            "{count} code is left: create new ones soon.", "{count} codes are left: create new ones soon.", left
        )
    return plural_sentence("{count} code is left.", "{count} codes are left.", left)
