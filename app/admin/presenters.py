"""What the console's pages and JSON show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from flask_login import current_user

from app import clock, user_agents
from app.admin import people
from app.admin.access import is_fresh
from app.audit import Event
from app.authenticators import recovery_codes, totp
from app.authenticators.enrollments import enrolled_of
from app.authenticators.presenters import proof_titles, title_of
from app.authenticators.webauthn import passkeys
from app.enrollments.catalog import method_of
from app.extensions import db
from app.groups import service as groups
from app.login.presenters import label_of
from app.recovery import requests
from app.sessions.api_tokens import tokens_of
from app.sessions.assurance import level
from app.sessions.models import ApiToken
from app.sessions.store import SessionSummary, sessions_of
from app.users import Identity, User, all_identities_of, identities_of
from app.web.respond import wants_json

LATEST = 10
"""Events shown on an account's page; the audit log has all."""


def page_facts() -> dict[str, Any]:
    """Return what every page of the console shows besides; nothing to a program."""
    if wants_json():
        return {}
    return {"user_label": label_of(identities_of(current_user.id)), "fresh": is_fresh(), "titles": proof_titles()}


def person_facts(user: User) -> dict[str, Any]:
    """Return everything about one account that helps its owner, and no secret."""
    summaries, more = sessions_of(user.id)
    under_way, stock = requests.open_of(user.id), recovery_codes.stock_of(user.id)
    return people.described(user) | {
        "identities": [_identity(row) for row in all_identities_of(user.id)],
        "sign_in_methods": _methods(user),
        "recovery_codes_left": stock.left,
        "recovery": under_way and {"requested_at": under_way.requested_at, "ready_at": under_way.ready_at},
        "sessions": [_session(each) for each in summaries],
        "more_sessions": more,
        "tokens": [_token(each) for each in tokens_of(user.id)],
        "latest": [event_facts(event) for event in latest_events(user.id)],
        "language": user.language,
    }


def label_of_person(person: dict[str, Any]) -> str:
    """Return by what a page calls an account."""
    return str(person["email"] or person["phone"] or person["username"] or person["handle"])


def latest_events(user_id: int) -> Sequence[Event]:
    """Return the newest events of an account, newest first."""
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


def other_groups(user: User) -> list[groups.GroupSummary]:
    """Return the groups that an account can be added to."""
    mine = set(groups.groups_of(user.id))
    return [group for group in groups.groups() if group.name not in mine]


def _identity(row: Identity) -> dict[str, Any]:
    return {"kind": row.kind, "value": row.value, "primary": row.is_primary, "confirmed_at": row.confirmed_at}


def _methods(user: User) -> list[dict[str, Any]]:
    """Return what this account signs in with: typed methods, each authenticator app, and each passkey."""
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
