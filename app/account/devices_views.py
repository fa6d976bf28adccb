"""/sessions: the user's sessions, and the browsers that the account knows."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from flask import Response, after_this_request
from flask_login import current_user

from app import clock, user_agents
from app.account import bp, devices
from app.authenticators.presenters import amr_titles
from app.extensions import settings
from app.login.presenters import label_of
from app.sessions.assurance import level
from app.sessions.known_devices import browsers_of
from app.sessions.models import AuthSession, KnownDevice
from app.sessions.store import SessionSummary, current_session, sessions_of
from app.users import identities_of
from app.web.access import login_required
from app.web.client import present_client
from app.web.commit import view_commit
from app.web.forms import ButtonForm
from app.web.headers import clear_site
from app.web.respond import flash_message, respond, wants_json

PAGE = "account/devices.html"
REFUSED = "errors/form.html"


@bp.get("/sessions")
@login_required
def sessions_page() -> Response:
    """List active sessions with their tokens, and known browsers."""
    current = _current()
    summaries, more = sessions_of(current_user.id, first=current.session_id)
    here = present_client().known_secrets
    known = sorted(browsers_of(current_user.id), key=lambda row: row.browser not in here)
    facts: dict[str, Any] = {
        "sessions": [_session(summary, current) for summary in summaries],
        "more": more,
        "known_browsers": [_browser(row, here) for row in known],
    }
    if wants_json():
        return respond(**facts)
    heads = [summary.head for summary in summaries]
    pairs = {session: row.id for session, row in devices.known_by_session(heads, known, current, here).items()}
    by_id = {browser["id"]: browser for browser in facts["known_browsers"]}
    context = {"titles": amr_titles(), "user_label": label_of(identities_of(current_user.id))}
    context |= {"known_of": {session: by_id[row] for session, row in pairs.items()}}
    context |= {"other_browsers": [browser for row, browser in by_id.items() if row not in pairs.values()]}
    return respond(PAGE, context=context, **facts)


@bp.post("/sessions/<session_id>/end")
@login_required
def end_session_page(session_id: str) -> Response:
    """End one of the user's sessions. Ending the current one signs out.

    Needs no reauthentication: it only removes access, and someone who finds a stranger in the list must be able to act
    immediately.
    """
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        current = _current()
        ended = devices.end_one(current_user.id, current, session_id)
        if session_id == current.session_id:
            flash_message("signed_out")
            return clear_site(respond(go=settings.post_logout_url, without_csrf=True, ended=ended))
        flash_message("session_ended")
        return respond(go="/sessions", ended=ended)
    return respond(REFUSED, form)


@bp.post("/sessions/end-others")
@login_required
def end_other_sessions() -> Response:
    """End all of the user's other sessions. Needs no reauthentication, either."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        ended = devices.end_others(current_user.id, _current())
        flash_message("sessions_ended" if ended else "no_other_sessions")
        return respond(go="/sessions", ended=ended)
    return respond(REFUSED, form)


@bp.post("/known-browsers/<browser>/forget")
@login_required
def forget_known_browser(browser: str) -> Response:
    """Forget a browser, even this one. Needs no reauthentication: the next sign-in is as strict, and sends a notice."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        devices.forget(current_user.id, browser)
        flash_message("browser_forgotten")
        return respond(go="/sessions")
    return respond(REFUSED, form)


@bp.post("/known-browsers/<browser>/ask-again")
@login_required
def ask_known_browser_again(browser: str) -> Response:
    """Require the second factor in a trusted browser again. Needs no reauthentication: it only removes trust."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        devices.revoke_device_trust(current_user.id, browser)
        flash_message("browser_distrusted")
        return respond(go="/sessions")
    return respond(REFUSED, form)


def _current() -> AuthSession:
    session = current_session()
    assert session is not None  # guaranteed by login_required
    return session


def _session(summary: SessionSummary, current: AuthSession) -> dict[str, Any]:
    head = summary.head
    return {
        "id": head.session_id,
        "aal": level(head, clock.now()),
        "current": head.session_id == current.session_id,
        "browser": user_agents.label(head.agent),
        "address": head.address,
        "first_seen_at": head.created_at,
        "last_seen_at": head.seen_at,
        "expires_at": head.expires_at,
        "methods": head.amr.split(","),
        "programs": [_program(token) for token in summary.programs],
        "refresh": _refresh(summary),
    }


def _refresh(summary: SessionSummary) -> dict[str, Any] | None:
    """Return the state of the session's refresh token; None if it has none."""
    if summary.refreshes_until is None:
        return None
    return {"last_used_at": summary.refreshed_at, "expires_at": summary.refreshes_until}


def _program(token: AuthSession) -> dict[str, Any]:
    return {"first_seen_at": token.created_at, "last_seen_at": token.seen_at, "expires_at": token.expires_at}


def _browser(known: KnownDevice, here: Collection[str]) -> dict[str, Any]:
    return {
        "id": known.id,
        "current": known.browser in here,
        "browser": user_agents.label(known.agent),
        "first_seen_at": known.first_seen_at,
        "last_seen_at": known.last_seen_at,
        "trusted_until": known.trusted_until if _is_trusted(known) else None,
    }


def _is_trusted(known: KnownDevice) -> bool:
    return known.trusted_until is not None and clock.now() < known.trusted_until
