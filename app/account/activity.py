"""The events of an account as its owner reads them, newest first.

The list of sentences is closed: an event without one is not listed, and of an event's facts nothing but the method.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app import clock, user_agents
from app.audit import Event
from app.crypto.encryption import DecryptionError
from app.db.compiled import Detached
from app.errors import Rejected
from app.extensions import db, keyring

KEPT_FOR = timedelta(days=90)
PAGE = 50
"""Events on a page."""

DESCRIPTIONS = {
    "account.created": "The account was opened",
    "account.deletion_requested": "Deleting the account was asked for",
    "account.deletion_undone": "The account was kept after all",
    "account.disabled": "Whoever runs this service switched the account off",
    "account.enabled": "Whoever runs this service switched the account on again",
    "account.unlocked": "Whoever runs this service let codes be typed again after too many wrong ones",
    "address.added": "An e-mail address was added",
    "address.change_confirmed": "The e-mail address was changed",
    "address.change_requested": "Another e-mail address was asked for",
    "address.change_undone": "What was done to the addresses was undone",
    "address.confirmed": "The address was confirmed",
    "address.made_primary": "Another e-mail address became the primary one",
    "address.removed": "An e-mail address was removed",
    "browser.forgotten": "A known browser was forgotten",
    "budget.exhausted:failures": "Typed codes were stopped for a while, because too many were wrong",
    "challenge.failed": "Somebody typed a wrong code while setting up a way to sign in",
    "challenge.failed:add_email": "Somebody typed a wrong code for a new address, or came too late with it",
    "challenge.failed:change_email": "Somebody typed a wrong code for a new address, or came too late with it",
    "challenge.failed:confirm": "Somebody came too late, or twice, to confirm the address",
    "challenge.started:confirm": "A mail to confirm the address was asked for",
    "challenge.failed:recovery": "Somebody typed a wrong code to recover the account",
    "challenge.started:recovery": "A code to recover the account was asked for",
    "challenge.started:setup": "Setting up a way to sign in was begun",
    "challenge.started:sign_in": "A code to sign in was asked for",
    "challenge.started:verify": "A code to prove who is there was asked for",
    "authenticator.renamed": "An authenticator app was given another name",
    "delivery.failed": "A message to you could not be delivered",
    "export.failed": "Your data could not be put together",
    "export.fetched": "The export of your data was fetched",
    "export.ready": "An export of your data was made",
    "export.requested": "An export of your data was asked for",
    "factor.added": "A way to sign in was added",
    "factor.removed": "A way to sign in was removed",
    "link.approved": "A sign-in on another screen was let in",
    "link.characters_wrong": "Somebody opened the link in a mail and typed the wrong characters",
    "link.denied_by_user": "Somebody with the mail said: this was not me. What it was about has ended",
    "link.opened_unbound": "The link in a mail was opened in a browser that had not asked for it",
    "link.refused": "A sign-in ended, because its link was opened with the wrong characters",
    "passkey.counter_regressed": "A passkey counted backwards: a copy of it may be in use",
    "passkey.counter_uneven": "A synced passkey's devices count its use differently, which is normal",
    "passkey.renamed": "A passkey was given another name",
    "phone.removed": "The phone number was removed",
    "second_step.asked": "The first proof was right, and a second step was asked for",
    "second_step.failed": "Somebody who had given the first proof typed a wrong code in the second step",
    "second_step.distrusted": "A trusted browser is asked for the second step again",
    "second_step.skipped": "The second step was skipped in a trusted browser",
    "second_step.trusted": "A browser was trusted: the second step is skipped there for a while",
    "second_step.help_asked": "Somebody who had given the first proof asked whoever runs this service for help",
    "second_step.off": "The second step was switched off",
    "second_step.on": "A second step was switched on",
    "recovery.code_used": "A recovery code was used",
    "recovery.cancelled": "A recovery of the account was cancelled",
    "recovery.completed": "The account was recovered: everybody was signed out, and what was lost removed",
    "recovery.reminded": "You were told once more that the account is being recovered",
    "recovery.started": "Somebody with the mailbox started to recover the account",
    "recovery.regenerated": "New recovery codes were made",
    "refresh.reused": "A program's token came a second time, as if there were a copy of it. Its session has ended",
    "session.ended": "A session ended",
    "session.ended:ended_by_operator": "Whoever runs this service ended sessions",
    "session.ended:signed_out": "Signed out",
    "session.ended:ended_by_owner": "A session was ended from another one",
    "session.ended:others_ended_by_owner": "All other sessions were ended",
    "sign_in.failed": "Somebody tried to sign in and could not",
    "sign_in.failed:budget_spent": "Somebody typed a code when none was looked at any more",
    "sign_in.failed:expired": "Somebody used a code or link that was too old",
    "sign_in.failed:older_code": "Somebody typed the code of an older mail",
    "sign_in.failed:other_browser": "Somebody typed a code that another browser had asked for",
    "sign_in.failed:spent": "Somebody used a code or link that had been used before",
    "sign_in.failed:wrong_code": "Somebody typed a wrong code",
    "sign_in.step_up": "Proved once more who is there",
    "sign_in.succeeded": "Signed in",
    "sign_in.succeeded:new": "Signed in from a browser that was new here",
    "token.created": "A personal token was made",
    "token.revoked": "A personal token was revoked",
    "tokens.revoked": "All personal tokens were revoked",
    "tokens.revoked:ended_by_operator": "Whoever runs this service revoked all personal tokens",
    "tokens.revoked:denied": "All personal tokens were revoked, because somebody with the mail said: this was not me",
    "username.removed": "The username was removed",
    "username.set": "The username was chosen or changed",
}
"""By name, and where one fact makes a difference by ``name:fact``."""

DIFFERS_BY = {
    "budget.exhausted": "budget",
    "challenge.failed": "purpose",
    "challenge.started": "purpose",
    "session.ended": "reason",
    "sign_in.failed": "reason",
    "sign_in.succeeded": "browser",
    "tokens.revoked": "reason",
}
_OF_LINKS = ("link.characters_wrong", "link.denied_by_user", "link.refused")
_FAILURES = ("challenge.failed", "delivery.failed", "passkey.counter_regressed", "second_step.failed", "sign_in.failed")
WARNINGS = frozenset(("budget.exhausted", "recovery.started", "refresh.reused", *_FAILURES, *_OF_LINKS))
"""What went wrong, or what a stranger may have done."""

_NAMES = sorted({key.partition(":")[0] for key in DESCRIPTIONS})
_ROWS = Detached(Event)
_c = Event.__table__.c


def events_of(user_id: int, before: str | None = None) -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of what happened to this user's account, and where the next page begins. One statement.

    :param before: where this page begins, as the page before says; None for the newest
    :return: ``at``, ``event``, ``text``, ``warning``, ``method``, ``browser`` and ``address`` of each, and None as
        the next place when nothing older is kept
    :raises Rejected: ``api_error`` when ``before`` is no place in this user's list
    """
    found = _ROWS.select().where(_c.user_id == user_id, _c.at > clock.now() - KEPT_FOR, _c.name.in_(_NAMES))
    if before is not None:
        at, last = _place(user_id, before)
        found = found.where(_c.at <= at, sa.or_(_c.at < at, _c.id < last))
    newest = found.order_by(_c.at.desc(), _c.id.desc()).limit(PAGE + 1)
    rows = db.session.execute(newest.execution_options(plan_anew=True)).all()
    events = [_ROWS.read(row)[0] for row in rows[:PAGE]]
    entries = [_entry(event) for event in events if _sentence(event)]
    return entries, _sealed(user_id, events[-1]) if len(rows) > PAGE else None


def _entry(event: Event) -> dict[str, Any]:
    return {
        "at": event.at,
        "event": event.name,
        "text": _sentence(event),
        "warning": event.name in WARNINGS,
        "method": _method(event),
        "browser": user_agents.label(event.agent) if event.agent else None,
        "address": event.address or None,
    }


def _method(event: Event) -> str | None:
    """Return the method that an event was about; of several proofs the first."""
    method = event.facts.get("method")
    return str(method).partition(",")[0] if method else None


def _sentence(event: Event) -> str | None:
    fact = event.facts.get(DIFFERS_BY.get(event.name, ""), "")
    return DESCRIPTIONS.get(f"{event.name}:{fact}") or DESCRIPTIONS.get(event.name)


def _sealed(user_id: int, event: Event) -> str:
    """Return the place after ``event``, sealed: a row's number would tell how much happens in the whole service."""
    return keyring.seal(f"{event.at.isoformat()} {event.id}".encode(), "activity", str(user_id))


def _place(user_id: int, sealed: str) -> tuple[datetime, int]:
    try:
        at, _, last = keyring.open(sealed, "activity", str(user_id)).decode().partition(" ")
    except DecryptionError:
        raise Rejected("api_error", field="before") from None
    return datetime.fromisoformat(at), int(last)
