"""What the console's pages and JSON contain."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from flask import g
from flask_login import current_user

from app import clock, user_agents
from app.admin import attempts, people
from app.admin.access import is_fresh
from app.admin.event_texts import event_text, fact_name
from app.audit import Event
from app.authenticators import recovery_codes, totp
from app.authenticators.enrollments import enrolled_of
from app.authenticators.presenters import amr_titles, title_of
from app.authenticators.webauthn import passkeys
from app.enrollments.methods import method_of
from app.extensions import db
from app.groups import service as groups
from app.i18n import N_
from app.invitations.models import Invitation
from app.invitations.service import state_of
from app.login.presenters import label_of
from app.outbox import suppressions
from app.outbox.models import Suppression
from app.outbox.reasons import reason_text
from app.recovery import requests
from app.sessions.api_tokens import tokens_of
from app.sessions.assurance import level
from app.sessions.models import ApiToken
from app.sessions.store import SessionSummary, sessions_of
from app.users import Identity, User, all_identities_of, identities_of
from app.web.pages import NavigationItem
from app.web.respond import wants_json

LATEST = 10
"""Events and attempts shown on an account's page. The audit log has all of them."""

_HANDLE = re.compile(r"(?:admin:)?([0-9a-f]{32})\Z")
_OF_PEOPLE = ("by", "subject")
"""Facts that may contain an account's handle."""

CONSOLE_PAGES = [
    NavigationItem("overview", "/admin", N_("Overview"), "overview"),
    NavigationItem("people", "/admin/people", N_("People"), "people"),
    NavigationItem("invitations", "/admin/invitations", N_("Invitations"), "addresses"),
    NavigationItem("groups", "/admin/groups", N_("Groups"), "groups"),
    NavigationItem("apps", "/admin/apps", N_("Apps"), "apps"),
    NavigationItem("attempts", "/admin/attempts", N_("Attempts"), "activity"),
    NavigationItem("webhooks", "/admin/webhooks", N_("Webhooks"), "program"),
    NavigationItem("outbox", "/admin/outbox", N_("Outbox"), "email"),
    NavigationItem("audit", "/admin/audit", N_("Audit log"), "data"),
    NavigationItem("settings", "/admin/settings", N_("Settings"), "settings"),
]
"""To add a page, add a line here. The tests then cover it like the others."""


@dataclass(frozen=True, slots=True)
class ShownFact:
    """An event's fact as shown on a page.

    :ivar href: link to the account it refers to, or ""
    """

    name: str
    text: str
    href: str = ""


def page_facts() -> dict[str, Any]:
    """Return the values that every console page needs; empty for API clients."""
    if wants_json():
        return {}
    return {"user_label": label_of(identities_of(current_user.id)), "fresh": is_fresh(), "titles": amr_titles(),
            "facts_of": shown_facts, "event_text": event_text}  # fmt: skip


def answers_without_page() -> bool:
    """Return whether a rejected form is answered without its page: for API clients, or after a CSRF failure."""
    return wants_json() or bool(g.get("csrf_fault"))


def person_facts(user: User) -> dict[str, Any]:
    """Return everything about an account that helps in supporting its owner, without secrets."""
    summaries, more = sessions_of(user.id)
    under_way, code_count = requests.open_of(user.id), recovery_codes.count_of(user.id)
    identities = all_identities_of(user.id)
    suppressed = suppressions.suppressed_of([row.value for row in identities if row.kind == "email"])
    return people.described(user) | {
        "identities": [_identity(row, suppressed.get(row.value)) for row in identities],
        "sign_in_methods": _methods(user),
        "recovery_codes_left": code_count.left,
        "recovery": under_way and {"requested_at": under_way.requested_at, "ready_at": under_way.ready_at},
        "sessions": [_session(each) for each in summaries],
        "more_sessions": more,
        "tokens": [_token(each) for each in tokens_of(user.id)],
        "latest": [event_facts(event) for event in latest_events(user.id)],
        "attempts": [attempt_facts(event) for event in attempts.latest(user.id, LATEST)],
        "language": user.language,
    }


def label_of_person(person: dict[str, Any]) -> str:
    """Return the label of an account on pages."""
    return str(person["email"] or person["phone"] or person["username"] or person["handle"])


def latest_events(user_id: int) -> Sequence[Event]:
    """Return an account's newest events, newest first."""
    mine = sa.select(Event).where(Event.user_id == user_id).order_by(Event.at.desc(), Event.id.desc())
    return db.session.scalars(mine.limit(LATEST)).all()


def event_facts(event: Event) -> dict[str, Any]:
    """Return an event as the console shows it."""
    return {
        "id": event.id,
        "at": event.at,
        "event": event.name,
        "facts": event.facts,
        "browser": user_agents.label(event.agent) if event.agent else None,
        "address": event.address or None,
        "support_id": event.support_id or None,
    }


def attempt_facts(event: Event) -> dict[str, Any]:
    """Return an attempt's event as lists of attempts show it."""
    return {"at": event.at, "reason": attempts.reason_of(event), "support_id": event.support_id}


def log_facts(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Return events as the audit log shows them, each with its account (``handle`` and ``label``), or None."""
    accounts = accounts_of(event.user_id for event in events)
    return [event_facts(event) | {"person": accounts.get(event.user_id or 0)} for event in events]


def accounts_of(ids: Iterable[int | None]) -> dict[int, dict[str, Any]]:
    """Return ``handle`` and ``label`` of these accounts by user ID. Deleted accounts are missing. Two statements."""
    wanted = {number for number in ids if number is not None}
    if not wanted:
        return {}
    found = dict.fromkeys(wanted, "")
    primary = sa.select(Identity).where(Identity.user_id.in_(wanted), Identity.is_primary)
    kinds = ("username", "phone", "email")  # the last kind present becomes the label
    for row in sorted(db.session.scalars(primary), key=lambda row: kinds.index(row.kind)):
        found[row.user_id] = row.value
    handles = db.session.execute(sa.select(User.id, User.handle).where(User.id.in_(wanted)))
    return {number: {"handle": handle, "label": found[number] or handle} for number, handle in handles}


def shown_facts(facts: dict[str, Any]) -> list[ShownFact]:
    """Return an event's facts for a page, sorted by name."""
    return [_shown_fact(name, value) for name, value in sorted(facts.items()) if value not in ("", None, [], {})]


def _shown_fact(name: str, value: Any) -> ShownFact:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    if name == "reason" and " " in text:  # a delivery error; other reasons are codes
        text = reason_text(text).text
    account = _HANDLE.match(text) if name in _OF_PEOPLE else None
    return ShownFact(fact_name(name), text, f"/admin/people/{account[1]}" if account else "")


def invitation_facts(row: Invitation) -> dict[str, Any]:
    """Return an invitation as the console and the command line show it, without its link."""
    return {
        "id": row.id, "state": state_of(row), "email": row.email or None, "groups": row.group_names,
        "uses": row.uses, "used": row.used, "language": row.language, "created_by": row.created_by,
        "created_at": row.created_at, "expires_at": row.expires_at, "revoked_at": row.revoked_at,
    }  # fmt: skip


def other_groups(user: User) -> list[tuple[str, str]]:
    """Return name and title of the groups the account isn't in."""
    mine = set(groups.groups_of(user.id))
    return [(name, title) for name, title in groups.titles() if name not in mine]


def _identity(row: Identity, suppressed: Suppression | None) -> dict[str, Any]:
    return {
        "kind": row.kind, "value": row.value, "primary": row.is_primary, "confirmed_at": row.confirmed_at,
        "undelivered": suppressed and {
            "kind": suppressed.kind, "code": suppressed.code, "since": suppressed.since, "until": suppressed.until,
        },
    }  # fmt: skip


def _methods(user: User) -> list[dict[str, Any]]:
    """Return the account's sign-in methods: typed methods, each authenticator app, and each passkey."""
    now = clock.now()
    found: list[dict[str, Any]] = [
        {
            "method": row.method,
            "title": title_of(row.method),
            "name": totp.name_of(row) if row.name and method_of(row.method).is_typed else "",
            "second_step": row.is_second,
            "added_at": row.created_at,
            "last_used_at": row.last_used_at,
            "cooldown_until": row.weak_until if row.in_cooldown(now) else None,
        }
        for row in enrolled_of(user.id)
        if method_of(row.method).is_typed and not row.is_pending
    ]
    for key in passkeys.passkeys_of(user.id):
        found.append(
            {
                "method": passkeys.METHOD,
                "title": title_of(passkeys.METHOD),
                "name": key.name,
                "second_step": key.usage == "secondary",
                "added_at": key.created_at,
                "last_used_at": key.last_used_at,
                "cooldown_until": None,
            }
        )
    return found


def _session(summary: SessionSummary) -> dict[str, Any]:
    head = summary.head
    return {
        "id": head.session_id,
        "aal": level(head, clock.now()),
        "browser": user_agents.label(head.agent),
        "address": head.address,
        "methods": head.amr.split(","),
        "first_seen_at": head.created_at,
        "last_seen_at": head.seen_at,
        "expires_at": head.expires_at,
        "programs": len(summary.programs),
    }


def _token(token: ApiToken) -> dict[str, Any]:
    return {
        "name": token.name,
        "scopes": token.scopes.split(","),
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "last_used_at": token.last_used_at,
    }
