"""Create and revoke the user's own API tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from app import throttling
from app.audit import record
from app.client import ClientContext
from app.crypto.secrets import is_row_id
from app.errors import Rejected
from app.extensions import db, settings
from app.login.credential_changes import lock_credentials
from app.notifications import notices
from app.notifications.notices import plural_sentence
from app.sessions import api_tokens
from app.sessions.models import ApiToken, AuthSession
from app.user_input import shows_all
from app.users import User
from app.users.administrators import is_administrator
from app.web.access import SCOPE_OF_CONSOLE, SCOPES

MAX_NAME_LENGTH = 64
OFFERED_DAYS = (7, 30, 90, 365)
"""Lifetimes offered on the page. API clients can request any number of days up to the maximum."""

_DAYS = re.compile(r"[0-9]{1,4}\Z", re.ASCII)


def longest_days() -> int:
    """Return the maximum lifetime of a token in days."""
    return min(365, settings.personal_token_max_age.days)


def offered_days() -> list[int]:
    """Return the lifetimes offered on the page, in days."""
    return [days for days in OFFERED_DAYS if days < longest_days()] + [longest_days()]


def scopes_for(user: User) -> dict[str, str]:
    """Return the scopes that this user's tokens can have, with their descriptions."""
    if settings.admin and is_administrator(user.id):
        return SCOPES
    return {scope: means for scope, means in SCOPES.items() if scope != SCOPE_OF_CONSOLE}


def create(
    user: User, session: AuthSession, name: str, scopes: Sequence[str], days: str | int, client: ClientContext
) -> tuple[ApiToken, str]:
    """Create a token for this user; return its row, and the token itself, which can't be shown again.

    Every address of the owner is notified. The caller must have checked that ``session`` is recently reauthenticated.
    :param days: lifetime in days
    :raises Rejected: ``token_name_invalid``, ``token_scope_unknown`` and ``token_age_invalid`` on their fields;
        ``too_many_tokens``; ``too_many_requests``; ``api_error`` if meanwhile the session has ended, or the account was
        disabled or closed
    """
    named = " ".join(name.split())
    if not 1 <= len(named) <= MAX_NAME_LENGTH or not named.isprintable() or not shows_all(named):
        raise Rejected("token_name_invalid", field="name")
    known = scopes_for(user) if SCOPE_OF_CONSOLE in scopes else SCOPES
    if any(scope not in known for scope in scopes):
        raise Rejected("token_scope_unknown", field="scopes")
    life = _life(days)
    throttling.take("starts", client.ip_address)  # each sends emails, so a loop must be limited
    _take_turns(user, session)
    if api_tokens.count_active(user.id) >= settings.personal_tokens:
        raise Rejected("too_many_tokens", most=settings.personal_tokens)
    chosen = [scope for scope in SCOPES if scope in scopes]
    made = api_tokens.issue(user.id, named, chosen, timedelta(days=life), session.session_id)
    facts: dict[str, Any] = {"token": made[0].id[:8], "scopes": chosen, "days": life}
    record("token.created", user.id, **facts)
    what = plural_sentence(
        "An API token was created. It works for {count} day.",
        "An API token was created. It works for {count} days.",
        life,
    )
    notices.notify(user.id, what, client, session_id=session.session_id)
    return made


def revoke(user_id: int, token_id: str) -> None:
    """Revoke one of this user's tokens. Idempotent: does nothing if it has already ended.

    :raises Rejected: ``not_found`` (404) if it isn't this user's, or doesn't exist
    """
    found = api_tokens.revoke(user_id, token_id) if is_row_id(token_id) else None
    if found is None:
        raise Rejected("not_found", status=404)
    if found.revoked_at is None:
        record("token.revoked", user_id, token=token_id[:8])


def _life(days: str | int) -> int:
    typed = str(days).strip()
    life = int(typed) if _DAYS.match(typed) else 0
    if not 1 <= life <= longest_days():
        raise Rejected("token_age_invalid", field="expires_in_days", most=longest_days())
    return life


def _take_turns(user: User, session: AuthSession) -> None:
    """Lock the user's row until the commit, so that revoking all tokens can't miss one that is being created."""
    lock_credentials(user, session)
    closed = db.session.scalar(sa.select(sa.func.coalesce(User.disabled_at, User.deletes_at)).where(User.id == user.id))
    if closed is not None:
        raise Rejected("api_error")
