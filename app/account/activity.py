"""An account's events as shown to its owner, newest first, optionally filtered.

Descriptions are an allowlist: an event without one is not listed, and of its facts only the method and the names of
a group or an app are shown. Wrong codes that were the owner's own mistake are not shown as warnings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app import clock, user_agents
from app.audit import Event
from app.crypto.encryption import DecryptionError
from app.db.compiled import Detached
from app.errors import Rejected
from app.extensions import db, keyring
from app.i18n import N_, gettext

KEPT_FOR = timedelta(days=90)
PAGE = 50
"""Number of events per page."""

DESCRIPTIONS = {
    "account.created": N_("Account created"),
    "account.deletion_requested": N_("Account deletion requested"),
    "account.deletion_undone": N_("Account deletion canceled"),
    "account.disabled": N_("Account disabled by an administrator"),
    "account.enabled": N_("Account enabled by an administrator"),
    "account.unlocked": N_("Code entry unlocked by an administrator"),
    "address.added": N_("Email added"),
    "address.change_confirmed": N_("Email changed"),
    "address.change_requested": N_("Email change requested"),
    "address.change_undone": N_("Changes to your email undone"),
    "address.confirmed": N_("Email confirmed"),
    "address.made_primary": N_("Primary email changed"),
    "address.removed": N_("Email removed"),
    "browser.forgotten": N_("Browser forgotten"),
    "budget.exhausted:failures": N_("Codes blocked for a while after too many wrong ones"),
    "challenge.failed": N_("Wrong code entered while adding a sign-in method"),
    "challenge.failed:add_email": N_("Wrong or expired code entered for a new email"),
    "challenge.failed:change_email": N_("Wrong or expired code entered for a new email"),
    "challenge.failed:confirm": N_("Expired or used code entered to confirm your email"),
    "challenge.started:confirm": N_("Confirmation email requested"),
    "challenge.failed:recovery": N_("Wrong code entered to recover the account"),
    "challenge.started:recovery": N_("Recovery code requested by email"),
    "challenge.started:setup": N_("Setup of a sign-in method started"),
    "challenge.started:sign_in": N_("Sign-in code requested"),
    "challenge.started:verify": N_("Code requested to confirm it's you"),
    "address.bounced": N_("An email to you came back"),
    "address.complained": N_("An email to you was reported as spam"),
    "address.suppressed": N_("We stopped sending email to an address of yours, because it came back"),
    "address.unsuppressed": N_("We send email to your address again"),
    "administrator.added": N_("You became an administrator"),
    "administrator.removed": N_("You're no longer an administrator"),
    "app.allowed": N_("Allowed the app {app}"),
    "app.device_allowed": N_("Let another device sign in to the app {app}"),
    "app.device_refused": N_("Didn't let another device sign in to the app {app}"),
    "app.not_allowed": N_("Not let into the app {app}, which is for certain groups"),
    "app.refused": N_("Didn't allow the app {app}"),
    "app.removed": N_("Removed access for the app {app}"),
    "app.signed_in": N_("Signed in to the app {app}"),
    "app.signed_out": N_("Signed out of the app {app}"),
    "app.token_reused": N_("A token of the app {app} was used twice and may have been copied. The app was signed out"),
    "authenticator.renamed": N_("Authenticator app renamed"),
    "delivery.failed": N_("A message to you couldn't be delivered"),
    "export.failed": N_("Your data export failed"),
    "export.fetched": N_("Data export downloaded"),
    "export.ready": N_("Data export ready"),
    "export.requested": N_("Data export requested"),
    "factor.added": N_("Sign-in method added"),
    "factor.removed": N_("Sign-in method removed"),
    "invitation.accepted": N_("Invitation accepted"),
    "group.member_added": N_("Added to the group {group} by an administrator"),
    "group.member_removed": N_("Removed from the group {group} by an administrator"),
    "link.approved": N_("Sign-in on another device approved"),
    "link.characters_wrong": N_("Wrong characters entered for an email link"),
    "link.denied_by_user": N_("Reported as not you from an email, and canceled"),
    "link.opened_unbound": N_("Email link opened in another browser"),
    "link.refused": N_("Sign-in canceled after wrong characters"),
    "name.removed": N_("Name removed"),
    "name.set": N_("Name changed"),
    "passkey.counter_regressed": N_("A passkey may have been copied: its counter went backwards"),
    "passkey.counter_uneven": N_("A synced passkey's counters differ between devices, which is normal"),
    "passkey.renamed": N_("Passkey renamed"),
    "phone.removed": N_("Phone number removed"),
    "second_step.asked": N_("First step completed, second step requested"),
    "second_step.failed": N_("Wrong code entered in the second step"),
    "second_step.distrusted": N_("Trusted browser removed"),
    "second_step.skipped": N_("Second step skipped in a trusted browser"),
    "second_step.trusted": N_("Browser trusted: no second step there for a while"),
    "second_step.help_asked": N_("Help requested from an administrator"),
    "second_step.off": N_("Two-step verification turned off"),
    "second_step.on": N_("Two-step verification turned on"),
    "recovery.code_used": N_("Recovery code used"),
    "recovery.cancelled": N_("Account recovery canceled"),
    "recovery.completed": N_("Account recovered: all devices signed out and lost methods removed"),
    "recovery.reminded": N_("Reminder of an account recovery sent"),
    "recovery.started": N_("Account recovery started by email"),
    "recovery.regenerated": N_("New recovery codes created"),
    "refresh.reused": N_("An app's token was used twice and may have been copied. Its session has ended"),
    "session.ended": N_("Signed out"),
    "session.ended:ended_by_operator": N_("Signed out by an administrator"),
    "session.ended:signed_out": N_("Signed out"),
    "session.ended:ended_by_owner": N_("Signed out from another device"),
    "session.ended:others_ended_by_owner": N_("Signed out everywhere else"),
    "sign_in_link.sent": N_("One-time sign-in link sent by an administrator"),
    "sign_in_link.used": N_("Signed in with a link that an administrator sent"),
    "sign_in.failed": N_("Failed sign-in attempt"),
    "sign_in.failed:budget_spent": N_("Code entered while codes were blocked"),
    "sign_in.failed:expired": N_("Expired code or link used"),
    "sign_in.failed:older_code": N_("Code from an older message entered"),
    "sign_in.failed:other_browser": N_("Code entered that was requested in another browser"),
    "sign_in.failed:spent": N_("Used code or link used again"),
    "sign_in.failed:wrong_code": N_("Wrong code entered"),
    "sign_in.step_up": N_("Confirmed it's you"),
    "sign_in.succeeded": N_("Signed in"),
    "sign_in.succeeded:new": N_("Signed in from a new browser"),
    "token.created": N_("API token created"),
    "token.revoked": N_("API token revoked"),
    "tokens.revoked": N_("All API tokens revoked"),
    "tokens.revoked:ended_by_operator": N_("All API tokens revoked by an administrator"),
    "tokens.revoked:denied": N_("All API tokens revoked, because a sign-in was reported as not you"),
    "username.removed": N_("Username removed"),
    "username.set": N_("Username set"),
}
"""Keyed by event name, or by ``name:fact`` where one fact makes a difference."""

DIFFERS_BY = {
    "budget.exhausted": "budget",
    "challenge.failed": "purpose",
    "challenge.started": "purpose",
    "session.ended": "reason",
    "sign_in.failed": "reason",
    "sign_in.succeeded": "browser",
    "tokens.revoked": "reason",
}

_NAMES = sorted({key.partition(":")[0] for key in DESCRIPTIONS})
_ROWS = Detached(Event)
_c = Event.__table__.c

FILTERS = {
    "all": N_("All activity"),
    "sign_ins": N_("Sign-ins"),
    "changes": N_("Changes"),
    "warnings": N_("Security warnings"),
}
"""Titles of the filters, by the value of ``show``."""

_SIGN_INS = (
    "sign_in.", "sign_in_link.", "session.", "link.", "app.signed_", "app.token_reused", "budget.", "challenge.started",
    "refresh.", "recovery.code_used", "second_step.asked", "second_step.failed", "second_step.skipped",
)  # fmt: skip
"""Prefixes of the names of events about signing in and out; all others are changes."""

_FAILURES = ("challenge.failed", "delivery.failed", "passkey.counter_regressed", "second_step.failed", "sign_in.failed")
_OF_LINKS = ("link.characters_wrong", "link.denied_by_user", "link.refused")
WARNINGS = frozenset(
    ("app.token_reused", "budget.exhausted", "recovery.started", "refresh.reused", *_FAILURES, *_OF_LINKS)
)
"""Failures, and events that someone else may have caused."""

_MISTAKES = ("wrong_code", "older_code", "expired", "spent")
_SIGNED_IN = ("sign_in.succeeded", "sign_in.step_up")
_RESOLVED_BY = {
    "sign_in.failed": _SIGNED_IN,
    "second_step.failed": _SIGNED_IN,
    "challenge.failed": ("factor.added", "second_step.on", "address.added", "address.change_confirmed"),
}
"""Events that show that a failure was a mistake, because the person then entered the right code."""

RESOLVE_WINDOW = timedelta(minutes=15)
_MAX_EVENTS = 1000
"""Maximum number of events examined. A failure whose success lies beyond them stays a warning."""


def events_of(user_id: int, before: str | None = None, show: str = "all") -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of this user's events, and the cursor of the next page.

    One SQL statement, and one more if codes were wrong.
    :param before: cursor of this page, as returned with the previous one; None for the newest events
    :param show: one of ``FILTERS``; a page of warnings leaves out those that turn out to be mistakes
    :return: ``at``, ``event``, ``text``, ``warning``, ``method``, ``browser`` and ``address`` of each, and None as
        the cursor if there are no older events
    :raises Rejected: ``api_error`` if ``before`` isn't a cursor for this user, or ``show`` isn't a filter
    """
    names = names_shown(show, _NAMES)
    found = _ROWS.select().where(_c.user_id == user_id, _c.at > clock.now() - KEPT_FOR, _c.name.in_(names))
    if before is not None:
        at, last = _decode_cursor(user_id, before)
        found = found.where(_c.at <= at, sa.or_(_c.at < at, _c.id < last))
    newest = found.order_by(_c.at.desc(), _c.id.desc()).limit(PAGE + 1)
    rows = db.session.execute(newest).all()
    events = [_ROWS.read(row)[0] for row in rows[:PAGE]]
    mistakes = own_mistakes(user_id, events)
    listed = [event for event in events if not (show == "warnings" and event.id in mistakes)]
    entries = [_entry(event, event.id in mistakes) for event in listed if _sentence(event)]
    return entries, _encode_cursor(user_id, events[-1]) if len(rows) > PAGE else None


def names_shown(show: str, names: Iterable[str]) -> list[str]:
    """Return the event names that the filter ``show`` includes.

    :raises Rejected: ``api_error`` if there is no such filter
    """
    if show not in FILTERS:
        raise Rejected("api_error", field="show")
    return [name for name in names if _is_shown(show, name)]


def own_mistakes(user_id: int, events: Sequence[Event]) -> set[int]:
    """Return the IDs of the failures in ``events`` that are no cause for alarm. At most one SQL statement.

    These are single failures that were followed by a success in the same browser within ``RESOLVE_WINDOW``. With a
    second failure in that time it may have been guessing, so both stay warnings.
    """
    failures = [event for event in events if _may_be_mistake(event)]
    if not failures:
        return set()
    times = [event.at for event in failures]
    near = _c.at.between(min(times) - RESOLVE_WINDOW, max(times) + RESOLVE_WINDOW)
    names = {*_RESOLVED_BY, *(name for names in _RESOLVED_BY.values() for name in names)}
    columns = sa.select(_c.id, _c.at, _c.name, _c.agent, _c.address)
    found = (
        columns.where(_c.user_id == user_id, near, _c.name.in_(sorted(names))).order_by(_c.at, _c.id).limit(_MAX_EVENTS)
    )
    around = db.session.execute(found).all()
    return {event.id for event in failures if _is_resolved(event, around)}


def _is_shown(show: str, name: str) -> bool:
    if show == "warnings":
        return name in WARNINGS
    return show == "all" or name.startswith(_SIGN_INS) is (show == "sign_ins")


def _may_be_mistake(event: Event) -> bool:
    is_typed = event.name != "sign_in.failed" or event.facts.get("reason") in _MISTAKES
    return event.name in _RESOLVED_BY and is_typed and bool(event.agent)


def _is_resolved(failure: Event, around: Sequence[Any]) -> bool:
    browser = (failure.agent, failure.address)
    same = [row for row in around if (row.agent, row.address) == browser and row.id != failure.id]
    near = [row for row in same if abs(row.at - failure.at) <= RESOLVE_WINDOW]
    alone = not any(row.name in _RESOLVED_BY for row in near)
    return alone and any(row.name in _RESOLVED_BY[failure.name] and row.at >= failure.at for row in near)


def _entry(event: Event, is_mistake: bool) -> dict[str, Any]:
    return {
        "at": event.at,
        "event": event.name,
        "text": _sentence(event),
        "warning": event.name in WARNINGS and not is_mistake,
        "method": _method(event),
        "browser": user_agents.label(event.agent) if event.agent else None,
        "address": event.address or None,
    }


def _method(event: Event) -> str | None:
    """Return the method of an event; the first one if there were several."""
    method = event.facts.get("method")
    return str(method).partition(",")[0] if method else None


def _sentence(event: Event) -> str | None:
    fact = event.facts.get(DIFFERS_BY.get(event.name, ""), "")
    found = DESCRIPTIONS.get(f"{event.name}:{fact}") or DESCRIPTIONS.get(event.name)
    return gettext(found, group=event.facts.get("group", ""), app=event.facts.get("app", "")) if found else None


def _encode_cursor(user_id: int, event: Event) -> str:
    """Return the cursor after ``event``, encrypted: row IDs would reveal how much activity the whole service has."""
    return keyring.seal(f"{event.at.isoformat()} {event.id}".encode(), "activity", str(user_id))


def _decode_cursor(user_id: int, sealed: str) -> tuple[datetime, int]:
    try:
        at, _, last = keyring.open(sealed, "activity", str(user_id)).decode().partition(" ")
    except DecryptionError:
        raise Rejected("api_error", field="before") from None
    return datetime.fromisoformat(at), int(last)
