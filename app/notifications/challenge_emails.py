"""Emails and text messages about challenges. Passcode and link are derived when a message is sent."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import sqlalchemy as sa

from app import clock, i18n, own_templates, user_agents
from app.authenticators.presenters import requester_of
from app.challenges.magic_links import link_token, registers_account
from app.challenges.models import Challenge
from app.challenges.notice_links import report_link, undo_link
from app.challenges.passcodes import passcode_of, root_of
from app.challenges.send_limits import sendable_ids
from app.db.compiled import Detached
from app.enrollments.models import Enrollment
from app.extensions import db, settings
from app.notifications.notices import NoticeFacts, sendable_notices, text_of
from app.outbox import EmailMessage, Expired, Message, TextMessage, register_renderers
from app.users import registration
from config.colors import palettes

if TYPE_CHECKING:
    from flask import Flask

LINK_PATHS = {
    "sign_in": "/us-verify-link?token=",
    "create_account": "/us-verify-link?token=",
    "confirm": "/confirm/",
    "change_email": "/change-email/",
    "add_email": "/change-email/",
}
"""Path of the link by kind of email. Other kinds have no link."""

MIN_TYPING_TIME = timedelta(seconds=15)
"""A passcode with less time left than this when it is sent would expire before anyone could enter it."""

_ROWS = Detached(Challenge, Enrollment)
_challenge, _enrolled = Challenge.__table__, Enrollment.__table__
_FIND_CHALLENGES = (
    _ROWS.select()
    .select_from(_challenge.outerjoin(_enrolled, _enrolled.c.id == _challenge.c.enrolled_id))
    .where(_challenge.c.id.in_(sa.bindparam("ids", expanding=True)))
)

MessageData = tuple[Challenge, Enrollment | None]
"""Data for a message: a challenge, and the enrollment it belongs to, if any."""


def challenges_of(messages: Sequence[Message]) -> dict[str, MessageData]:
    """Return the challenges of messages that may be sent, by message id; those deleted or closed are left out.

    One statement, and one for the service's send budget.
    """
    challenge_ids = {message.id: message.challenge_id for message in messages if message.challenge_id}
    rows = (_ROWS.read(row) for row in db.session.execute(_FIND_CHALLENGES, {"ids": list(set(challenge_ids.values()))}))
    found = {challenge.id: (challenge, enrollment) for challenge, enrollment in rows}
    data = {
        message_id: found[challenge_id] for message_id, challenge_id in challenge_ids.items() if challenge_id in found
    }
    now = clock.now()
    sendable = sendable_ids([each for each in messages if each.id in data and data[each.id][0].is_open(now)])
    return {message_id: each for message_id, each in data.items() if message_id in sendable}


def passcode_email(message: Message, data: MessageData | None) -> EmailMessage | TextMessage | None:
    """Render the passcode, its expiry, and the link if there is one; return None once the challenge is over.

    A delayed email whose passcode has expired only contains the link.

    :raises Expired: when the passcode has expired and there is no link
    """
    if data is None or not data[0].is_open(clock.now()):
        return None
    challenge, enrollment = data
    if enrollment is None and not challenge.secret and not registers_account(challenge):
        return None  # no answer would be accepted, so there is nothing to send
    root = root_of(challenge, enrollment)
    link = None
    if message.kind in LINK_PATHS and message.channel == "mail":
        link = settings.public_url + LINK_PATHS[message.kind] + quote(link_token(challenge, root), safe="")
    facts = {"link": link, "asked": requester_of(challenge), "denial": _denial_of(challenge)}
    if clock.now() + MIN_TYPING_TIME < challenge.passcode_expires_at:
        return write(message, code=passcode_of(challenge, root), until=challenge.passcode_expires_at, **facts)
    if link is None:
        raise Expired
    return write(message, late=True, until=challenge.expires_at, **facts)


def already_registered(message: Message, data: MessageData | None) -> EmailMessage | TextMessage | None:
    """Tell the owner of an address that someone tried to sign up with it, or to add it to another account."""
    if data is None:
        return None
    link = settings.public_url + "/us-signin"
    return write(message, link=link, asked=requester_of(data[0]), denial=_denial_of(data[0]))


def no_account(message: Message, data: MessageData | None) -> EmailMessage | TextMessage | None:
    """Tell the owner of an email address that it has no account, and how to create one if that is allowed."""
    if data is None:
        return None
    link = settings.public_url + "/register" if registration.may_email_register(message.to) else None
    return write(message, link=link, asked=requester_of(data[0]))


def changed(message: Message, notice: NoticeFacts | None) -> EmailMessage | TextMessage | None:
    """Tell an account's owner what was changed, and how to undo it or report the session that made the change."""
    if notice is None:
        return None
    facts: dict[str, Any] = {"what": text_of(message.facts), "browser": user_agents.label(message.facts["browser"])}
    session_id, change = message.facts.get("family"), notice.change
    if change and message.to != change.new:
        facts |= {"undo": undo_link(change), "hours": int(settings.change_undo_within.total_seconds() // 3600)}
    elif session_id:
        facts["denial"] = report_link("session", session_id, message.created_at)
    return write(message, when=message.created_at, **facts)


def new_device(message: Message) -> EmailMessage | TextMessage:
    """Tell an account's owner about a sign-in from an unknown browser, and how to end that session."""
    session_id, agent, address = (message.facts[name] for name in ("family", "agent", "address"))
    sign_in = {"browser": user_agents.label(agent), "at": message.created_at, "address": address}
    return write(message, asked=sign_in, link=report_link("session", session_id, message.created_at))


def help_asked(message: Message) -> EmailMessage | TextMessage:
    """Tell the operator that someone can't complete the second step of a sign-in."""
    agent, address = message.facts["agent"], message.facts["address"]
    by = {"browser": user_agents.label(agent), "at": message.created_at, "address": address}
    with i18n.use_language(i18n.default_language()):  # the operator's language
        return write(message, whose=message.facts["whose"], asked=by)


def _denial_of(challenge: Challenge) -> str:
    return report_link("challenge", challenge.id, challenge.created_at)


def write(message: Message, **facts: Any) -> EmailMessage | TextMessage:
    """Render the template for a message's kind with these facts."""
    if message.channel == "sms":
        return TextMessage(_render(f"sms/{message.kind}.txt", context_of(message, facts)))
    return write_email(message, facts)


def write_email(message: Message, facts: Mapping[str, Any]) -> EmailMessage:
    """Render the templates for an email's kind with these facts."""
    context, template = context_of(message, facts), f"mail/{message.kind}"
    subject = _render(f"{template}.subject.txt", context)
    return EmailMessage(subject, _render(f"{template}.txt", context), _render(f"{template}.html", context))


def context_of(message: Message, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the template context of a message: values common to all messages, and its own facts."""
    language = i18n.language()
    colors, dark_colors = palettes(settings.brand_color, settings.brand_color_dark)
    common = {
        "brand": settings.brand_name,
        "public_url": settings.public_url,
        "host": urlsplit(settings.public_url).hostname,
        "support_contact": settings.support_contact,
        "language": language,
        "direction": i18n.direction(language),
        "colors": colors,
        "dark_colors": dark_colors,
        "tag": message.tag,
    }
    return common | dict(facts)


def _render(template: str, context: dict[str, Any]) -> str:
    return own_templates.render(template, context).strip()


@lru_cache(maxsize=512)
def wrapped(text: str) -> str:
    """Wrap a text at 72 characters without breaking words. Cached, because emails repeat the same texts."""
    wrapper = textwrap.TextWrapper(
        72, expand_tabs=False, replace_whitespace=False, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(wrapper.fill(line) for line in text.splitlines())


def register(app: Flask) -> None:
    """Register the renderer of each kind of message, and the template filter they use."""
    app.jinja_env.filters["wrapped"] = wrapped
    sign_ins, changes = ("sign_in", "verify", "second", "recovery"), ("setup", "change_email", "add_email")
    passcode_kinds = (*sign_ins, *changes, "create_account", "confirm")
    register_renderers(app, dict.fromkeys(passcode_kinds, passcode_email), reads=challenges_of)
    address_in_use = dict.fromkeys(("already_registered", "address_taken"), already_registered)
    register_renderers(app, address_in_use | {"no_account": no_account}, reads=challenges_of)
    register_renderers(app, {"changed": changed}, reads=sendable_notices)
    register_renderers(app, {"new_device": new_device, "help_asked": help_asked})
