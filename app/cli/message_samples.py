"""Samples of every message, for previews and template checks, with made-up facts in the reader's language."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from app import clock
from app.challenges import notice_links
from app.crypto import secrets
from app.extensions import settings
from app.i18n import gettext
from app.invitations import service as invitations
from app.notifications.challenge_emails import LINK_PATHS, write
from app.outbox import EmailMessage, Message, TextMessage
from app.privacy.models import UNDO_PATH as DELETION_UNDO_PATH
from app.recovery.requests import CANCEL_PATH
from app.signin import sent_links

CODES = ("sign_in", "verify", "recovery", "setup", "change_email", "add_email", "create_account", "confirm")
"""Kinds of email with a code."""

TEXTED_CODES = ("sign_in", "verify", "second", "setup", "confirm", "create_account")
TOKEN = "sample-link-that-opens-nothing"  # noqa: S105 - it is none


@dataclass(frozen=True)
class Sample:
    """A sample message.

    :ivar variant: form of its kind; "" for the usual one
    """

    kind: str
    channel: str
    variant: str = ""
    tag: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.variant}" if self.variant else self.kind

    def written(self) -> EmailMessage | TextMessage:
        """Return the message rendered in the current language. Raises what its templates raise."""
        to = "ada@example.com" if self.channel == "mail" else "+16502530000"
        return write(unsent(self.kind, self.channel, to, self.tag), **self.facts)


def unsent(kind: str, channel: str, to: str, tag: str = "") -> Message:
    """Return a message that isn't in the database."""
    now = clock.now()
    known = {"id": secrets.row_id(), "facts": {}, "attempts": 1, "created_at": now}
    return Message(kind=kind, channel=channel, to=to, tag=tag, **known)


def samples() -> Iterator[Sample]:
    """Yield a sample of every kind of message and each of its variants."""
    yield from _codes()
    yield from _notices()
    yield from _deletions()
    yield from _recoveries()
    yield Sample("test", "mail")


def _asked() -> dict[str, Any]:
    return {"browser": "Firefox on Linux", "at": clock.now(), "address": "192.0.2.7"}


def _link(path: str) -> str:
    return settings.public_url + path + TOKEN


def _codes() -> Iterator[Sample]:
    until, denial = clock.now() + timedelta(minutes=10), _link(notice_links.REPORT_PATH)
    for kind in CODES:
        link = _link(LINK_PATHS[kind]) if kind in LINK_PATHS else None
        facts = {"link": link, "asked": _asked(), "denial": denial, "until": until}
        yield Sample(kind, "mail", tag="3YM3", facts=facts | {"code": "19616785"})
        if link:
            yield Sample(kind, "mail", "late", facts=facts | {"late": True})
    facts = {"code": "196167", "until": until}
    for kind in TEXTED_CODES:
        yield Sample(kind, "sms", facts=facts)
        yield Sample(kind, "sms", "tagged", tag="3YM3", facts=facts)
    known = {"link": settings.public_url + "/us-signin", "asked": _asked(), "denial": denial}
    yield Sample("already_registered", "mail", facts=known)
    yield Sample("already_registered", "sms", facts=known)
    yield Sample("address_taken", "mail", facts=known)
    yield Sample("no_account", "mail", facts={"link": settings.public_url + "/register", "asked": _asked()})


def _notices() -> Iterator[Sample]:
    what = gettext("New recovery codes were created. Any previous codes no longer work.")
    facts = {"what": what, "browser": "Firefox on Linux", "when": clock.now()}
    undo = {"undo": _link(notice_links.UNDO_PATH), "hours": int(settings.change_undo_within.total_seconds() // 3600)}
    yield Sample("changed", "mail", facts=facts | {"denial": _link(notice_links.REPORT_PATH)})
    yield Sample("changed", "mail", "undo", facts=facts | undo)
    yield Sample("changed", "sms", facts=facts)
    yield Sample("new_device", "mail", facts={"asked": _asked(), "link": _link(notice_links.REPORT_PATH)})
    copied = {"link": settings.public_url + "/apps", "when": clock.now()}
    for channel in ("mail", "sms"):
        yield Sample("app_token_reused", channel, facts=copied | {"app": "Grafana"})
        yield Sample("app_token_reused", channel, "unnamed", facts=copied | {"app": ""})
    invitation = {"link": _link(invitations.PATH), "until": clock.now() + timedelta(days=7)}
    yield Sample("invitation", "mail", facts=invitation)
    sent_link = {"link": _link(sent_links.PATH), "until": clock.now() + timedelta(minutes=15)}
    yield Sample("sent_link", "mail", facts=sent_link)
    yield Sample("help_asked", "mail", facts={"whose": "ada@example.com", "asked": _asked()})


def _deletions() -> Iterator[Sample]:
    week, day = clock.now() + timedelta(days=7), clock.now() + timedelta(days=1)
    yield Sample("export_ready", "mail", facts={"link": settings.public_url + "/my-data", "until": week})
    link = _link(DELETION_UNDO_PATH)
    for by, variant in (("owner", ""), ("operator", "operator")):
        yield Sample("deletion_requested", "mail", variant, facts={"link": link, "deletes_at": week, "by": by})
    yield Sample("deletion_reminder", "mail", facts={"link": link, "deletes_at": day, "by": "owner"})
    yield Sample("account_closed", "mail", facts={"link": link, "deletes_at": week, "asked": _asked()})
    for kind, deletes_at in (("deletion_requested", week), ("deletion_reminder", day)):
        yield Sample(kind, "sms", facts={"link": link, "deletes_at": deletes_at, "by": "owner"})


def _recoveries() -> Iterator[Sample]:
    ready_at = clock.now() + settings.recovery_wait
    times = {"ready_at": ready_at, "expires_at": ready_at + timedelta(days=7), "asked": _asked()}
    for news in ("started", "reminder", "cancelled", "done"):
        link = _link(CANCEL_PATH) if news in ("started", "reminder") else None
        for channel in ("mail", "sms"):
            yield Sample("recovering", channel, news, facts=times | {"news": news, "link": link})
