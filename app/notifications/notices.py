"""Security notices: tell users what was changed in their account, at every address it has.

A notice never asks for an action. It goes to every address, so that someone with access to one mailbox can't hide it
from the others. Sentences are stored as English text with values, and translated when the notice is sent.

A sign-in from a new device only marks the session, to save statements. The worker enqueues the email on its next
sweep.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app import clock, i18n, outbox, user_agents
from app.audit import record
from app.authenticators.recovery_codes import LOW_COUNT, METHOD, count_of
from app.challenges.send_limits import sendable_ids
from app.client import ClientContext
from app.db.compiled import Detached
from app.extensions import db, settings
from app.outbox import Message
from app.sessions.cleanup import KEPT_FOR
from app.sessions.models import AuthSession
from app.users import AddressChange, Identity, User

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

_RECIPIENTS = (
    sa.select(Identity.kind, Identity.value)
    .where(Identity.user_id == sa.bindparam("user_id"), Identity.confirmed_at.is_not(None))
    .where(Identity.kind.in_(("email", "phone")))
    .order_by(Identity.id)
)
_CHANGES = sa.select(AddressChange).where(
    AddressChange.id.in_(sa.bindparam("ids", expanding=True)), AddressChange.undone_at.is_(None)
)
_this_hour = sa.func.sum(sa.case((Message.sent_at > sa.bindparam("hour_ago"), 1), else_=0))
_TEXT_COUNTS = (
    sa.select(Message.to, _this_hour, sa.func.count())
    .where(Message.channel == "sms", Message.sent_at > sa.bindparam("day_ago"))
    .where(Message.to.in_(sa.bindparam("numbers", expanding=True)))
    .group_by(Message.to)
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A translatable sentence. Values may be times or other sentences; ``many`` is the plural form, or ""."""

    text: str
    many: str
    facts: Mapping[str, Any]

    def translated(self) -> str:
        """Return it in the reader's language."""
        facts = {name: _localized(value) for name, value in self.facts.items()}
        return i18n.ngettext(self.text, self.many, **facts) if self.many else i18n.gettext(self.text, **facts)

    def stored(self) -> dict[str, Any]:
        """Return it as JSON for ``read``."""
        facts = {name: _stored(value) for name, value in self.facts.items()}
        return {"text": self.text, "many": self.many, "facts": facts}


def sentence(text: str, **facts: Any) -> Sentence:
    """Return a sentence with its values."""
    return Sentence(text, "", facts)


def plural_sentence(one: str, many: str, count: int, **facts: Any) -> Sentence:
    """Return a sentence with a singular and a plural form."""
    return Sentence(one, many, {"count": count} | facts)


def read(stored: Mapping[str, Any]) -> Sentence:
    """Return a stored sentence."""
    return Sentence(stored["text"], stored["many"], {name: _read(value) for name, value in stored["facts"].items()})


def joined(sentences: Iterable[Sentence]) -> str:
    """Join sentences to one text in the reader's language."""
    return " ".join(each.translated() for each in sentences)


def _localized(value: Any) -> Any:
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
    """Data for a notice: the address change that it reports, if that hasn't been undone."""

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
    """Tell the owner of an account ``what`` was changed, by email to each of its verified addresses.

    An account without a verified email address is notified by text message, within the send budgets; messages beyond
    them are dropped. One statement finds the recipients, and one per channel enqueues the messages.

    :param what: whole sentences, without secrets and without names chosen by a user, so that someone in a hijacked
        session can't write text into emails to its owner
    :param client: who made the change; only their browser is shown
    :param also: additional email addresses and phone numbers to notify, such as one that was removed from the account
    :param session_id: session that made the change; if given, each email contains a link to report that session
    :param change: address change, if it was one. Then each email except the one to the new address says how to undo it,
        and an account without any other email address is notified by text message as well
    :param by_text: also notify every verified phone number
    :param own: sentence to send instead of ``what``, by email address
    """
    found = db.session.execute(_RECIPIENTS, {"user_id": user_id}).all()
    mails = [value for kind, value in found if kind == "email"] + [one for one in also if "@" in one]
    other_mailboxes = set(mails) - {change.new if change else ""}
    sends_texts = by_text or not other_mailboxes
    numbers = [value for kind, value in found if kind == "phone" and sends_texts] + [
        one for one in also if "@" not in one
    ]
    facts: dict[str, Any] = _stored_sentences([what] if isinstance(what, Sentence) else what) | {
        "browser": user_agents.label(client.user_agent),
        "family": session_id,
    }
    facts["change"] = change.id if change else ""
    own_facts = {address: _stored_sentences([one]) for address, one in (own or {}).items()}
    outbox.enqueue_each("changed", "mail", list(dict.fromkeys(mails)), user_id=user_id, own=own_facts, **facts)
    outbox.enqueue_each("changed", "sms", list(dict.fromkeys(numbers)), user_id=user_id, **facts)


def _stored_sentences(sentences: Sequence[Sentence]) -> dict[str, Any]:
    """Return a notice's sentences, to be translated when it is sent. ``what`` is for releases that can't do that."""
    with i18n.in_english():
        return {"what": joined(sentences), "sentences": [each.stored() for each in sentences]}


def text_of(facts: Mapping[str, Any]) -> str:
    """Return the text of a notice in the reader's language; in English if an earlier release enqueued it."""
    return joined(map(read, facts["sentences"])) if "sentences" in facts else str(facts["what"])


def sendable_notices(messages: Sequence[Message]) -> dict[str, NoticeFacts]:
    """Return the notices that may be sent now, by message id: all emails, and text messages within the send budgets.

    A phone number gets at most as many text messages per hour and day as the limits allow for codes. Takes one
    statement if there are text messages, plus those of the service's budget, and one if there are address changes.
    """
    texts = [message for message in messages if message.channel == "sms"]
    sendable = {message.id for message in messages if message.channel != "sms"}
    if texts:
        now = clock.now()
        parameters = {"numbers": [text.to for text in texts], "hour_ago": now - HOUR, "day_ago": now - DAY}
        sent = {to: (hour, day) for to, hour, day in db.session.execute(_TEXT_COUNTS, parameters)}
        sendable |= sendable_ids(
            [text for text in texts if not settings.limits or _has_room(*sent.get(text.to, (0, 0)))]
        )
    ids = {str(message.facts.get("change", "")) for message in messages} - {""}
    found = db.session.scalars(_CHANGES, {"ids": list(ids)}).all() if ids else ()
    changes = {change.id: change for change in found}
    return {
        message.id: NoticeFacts(changes.get(str(message.facts.get("change"))))
        for message in messages
        if message.id in sendable
    }


def _has_room(hour: int, day: int) -> bool:
    return hour < settings.sms_per_hour and day < settings.sms_per_day


def notify_of_use(user_id: int, client: ClientContext, session_id: str = "") -> None:
    """Record that a recovery code was used, and tell the owner how many are left.

    :param session_id: session in which it was used, if there already was one
    """
    left = count_of(user_id).left
    record("recovery.code_used", user_id, method=METHOD, left=left)
    notify(user_id, [sentence("A recovery code was used."), _remaining(left)], client, session_id=session_id)


def notify_of_new_codes(user_id: int, client: ClientContext, session_id: str) -> None:
    """Record that new recovery codes were created, and tell the owner.

    :param session_id: session that created them
    """
    record("recovery.regenerated", user_id, method=METHOD)
    what = sentence("New recovery codes were created. Any previous codes no longer work.")
    notify(user_id, what, client, session_id=session_id)


def _remaining(left: int) -> Sentence:
    """Return a sentence with the number of codes left, and a reminder to create new ones if there are few."""
    if left == 0:
        return sentence("No codes are left: create new ones.")
    if left <= LOW_COUNT:
        return plural_sentence(
            "{count} code is left: create new ones soon.", "{count} codes are left: create new ones soon.", left
        )
    return plural_sentence("{count} code is left.", "{count} codes are left.", left)


# --- new devices --------------------------------------------------------------------------------


SESSIONS_PER_BATCH = 100
"""Sessions processed in one transaction."""

_ROWS = Detached(AuthSession)
_session, _user = AuthSession.__table__, User.__table__
_earlier = _session.alias("earlier")
_seen_before = sa.exists().where(_earlier.c.user_id == _session.c.user_id, _earlier.c.id < _session.c.id)
"""The account has an earlier session that hasn't been pruned yet."""

_UNREPORTED = (
    _ROWS.select()
    .add_columns(_user.c.created_at, _seen_before)
    .select_from(_session.join(_user, _user.c.id == _session.c.user_id))
    .where(_session.c.untold)
    .order_by(_session.c.id)
    .limit(SESSIONS_PER_BATCH)
)
_MARK_REPORTED = (
    sa.update(_session)
    .where(_session.c.id.in_(sa.bindparam("ids", expanding=True)), _session.c.untold)
    .values(untold=False)
    .returning(_session.c.id)
)
_ADDRESSES = (
    sa.select(Identity.user_id, Identity.value)
    .where(Identity.user_id.in_(sa.bindparam("ids", expanding=True)))
    .where(Identity.kind == "email", Identity.confirmed_at.is_not(None))
)


def notify_of_new_devices() -> bool:
    """Enqueue emails about sessions opened in new browsers, except a new account's first; return if there may be more.

    For an account older than the retention of sessions, the first known session is reported as well, since there may
    have been earlier ones. Each session is reported by only one worker, even if it has ended in the meantime.
    """
    unreported = [(*_ROWS.read(row), *row[-2:]) for row in db.session.execute(_UNREPORTED)]
    if not unreported:
        return False
    marked = set(db.session.scalars(_MARK_REPORTED, {"ids": [session.id for session, *_ in unreported]}))
    to_notify = [
        session
        for session, opened_at, seen_before in unreported
        if session.id in marked and (seen_before or session.created_at - opened_at > KEPT_FOR)
    ]
    addresses = _addresses_of({session.user_id for session in to_notify})
    for session in to_notify:
        facts: dict[str, Any] = {"family": session.session_id, "agent": session.agent, "address": session.address}
        recipients = addresses.get(session.user_id, [])
        outbox.enqueue_each("new_device", "mail", recipients, user_id=session.user_id, **facts)
    return len(unreported) == SESSIONS_PER_BATCH


def _addresses_of(ids: set[int]) -> dict[int, list[str]]:
    """Return the verified email addresses of these users by user id; no statement if there are no users."""
    found: dict[int, list[str]] = {}
    for user_id, email in db.session.execute(_ADDRESSES, {"ids": list(ids)}) if ids else ():
        found.setdefault(user_id, []).append(email)
    return found
