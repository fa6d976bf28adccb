"""Signing in to and out of protected apps.

/.latchkey/... is at an app's host, from where its proxy routes it to us, and /gate/continue is here. A visitor is sent
from the app to sign in here, and comes back with a one-time ticket that only works in the browser that requested it. A
cookie is valid at one app, unless the operator sets a cookie domain.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import structlog
from flask import Response, after_this_request, redirect, request

from app import clock, throttling
from app.audit import record
from app.crypto import secrets
from app.extensions import settings
from app.forward_auth import app_sessions, bp
from app.forward_auth.app_file import app_of
from app.forward_auth.checks import cookie_scope
from app.forward_auth.cookies import (
    accepts_domain_cookie,
    remove_binding,
    sent_app_cookie,
    sent_bindings,
    set_app_cookie,
    set_binding,
    set_probe_cookie,
)
from app.forward_auth.dialects import address_of
from app.forward_auth.forms import SwitchForm
from app.forward_auth.presenters import fits_return_url, notice
from app.forward_auth.rules import Level, ProtectedApp, Requirements, strictest
from app.groups.service import groups_of
from app.login.presenters import label_of
from app.sessions import assurance
from app.sessions.models import AuthSession
from app.sessions.store import current_session, revoke_current_session
from app.users import identities_of
from app.web.client import is_click, present_client
from app.web.commit import view_commit
from app.web.destinations import letter_of, tint_of
from app.web.errors import error_answer
from app.web.messages import message
from app.web.redirects import with_query
from app.web.respond import redirect_to_app, respond

log = structlog.get_logger()

PREFIX = "/.latchkey/"
START, ENTER, LOGOUT = f"{PREFIX}start", f"{PREFIX}enter", f"{PREFIX}logout"
CONTINUE = "/gate/continue"
SIGNED_OUT = "/gate/signed-out"
_STATE = re.compile(r"[0-9a-f]{64}")


@bp.get(START)
def start_entry() -> Response:
    """Send a visitor of an app to sign in, and store a secret in their browser that the ticket will be bound to."""
    app = app_of(request.host)
    if app is None:
        return notice(404, "not_found")
    secret = next(iter(sent_bindings()), "") or secrets.token()
    query = {"app": app.host, "to": _local_target(request.args.get("to")), "state": secrets.digest(secret)}
    answer: Response = redirect(settings.public_url + with_query(CONTINUE, **query, **_requested_step()), 303)  # type: ignore[assignment]
    set_binding(answer, secret)
    set_probe_cookie(answer, cookie_scope(app))
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


@bp.get(CONTINUE)
def continue_to_app() -> Response:
    """Do what is left to do before a user may enter an app, then send them there with a ticket."""
    after_this_request(view_commit)
    app = app_of(request.args.get("app", ""))
    state = request.args.get("state", "")
    if app is None or not _STATE.fullmatch(state):
        return error_answer(400, message("app_entry_unknown"))
    if request.method == "HEAD":
        return Response()
    return _continue(app, _local_target(request.args.get("to")), state)


@bp.post("/gate/account")
def switch_account() -> Response:
    """Sign out here, to enter an app with another account."""
    after_this_request(view_commit)
    form = SwitchForm()
    if not form.validate():
        return respond("errors/form.html", form)
    if (session := revoke_current_session()) is not None:
        record("session.ended", session.user_id, reason="signed_out")
    query = {"app": form.app.data, "to": _local_target(form.to.data), "state": form.state.data}
    return respond(go=with_query(CONTINUE, **query))


@bp.get(ENTER)
def enter() -> Response:
    """Spend a ticket, and sign the visitor in at this host."""
    after_this_request(view_commit)
    app, to = app_of(request.host), _local_target(request.args.get("to"))
    if app is None:
        return notice(404, "not_found")
    if not is_click():
        return Response(status=204)  # a prefetch must not spend the ticket
    scope = cookie_scope(app)
    if sent_bindings() and not accepts_domain_cookie(scope):
        return _cookie_domain_rejected(app)
    session, binding = _spend_ticket(app)
    if session is None:
        return _ticket_rejected(app, to, has_cookies=bool(binding))
    if not app_sessions.has_entered(session.user_id, app):
        record("app.signed_in", session.user_id, client=app.id, app=app.name)
    if before := sent_app_cookie(scope):
        app_sessions.end(before)
    token, until = app_sessions.create(session, app, scope)
    answer: Response = redirect(to, 303)  # type: ignore[assignment]
    set_app_cookie(answer, scope, token, int((until - clock.now()).total_seconds()) if session.persistent else None)
    remove_binding(answer, binding)
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


@bp.get(LOGOUT)
def leave_app() -> Response:
    """Sign out of this app only. A link on another site leads to a page that asks first."""
    after_this_request(view_commit)
    app = app_of(request.host)
    if app is None:
        return notice(404, "not_found")
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return notice(200, "app_leave_confirm", link=LOGOUT, app=app.name)
    if not is_click():
        return Response(status=204)
    user_id = app_sessions.end(sent_app_cookie(cookie_scope(app)))
    if user_id is not None:
        record("app.signed_out", user_id, client=app.id, app=app.name)
    answer: Response = redirect(settings.public_url + with_query(SIGNED_OUT, app=app.host), 303)  # type: ignore[assignment]
    set_app_cookie(answer, cookie_scope(app), "", 0)
    return answer


@bp.get(SIGNED_OUT)
def signed_out_of_app() -> Response:
    """Show that the user is signed out of an app, and offer to sign them out everywhere."""
    app = app_of(request.args.get("app", ""))
    if app is None:
        return error_answer(404, message("not_found"))
    session = current_session()
    label = label_of(identities_of(session.user_id)) if session is not None else ""
    shown = _shown(app) | {"user_label": label, "is_signed_in": session is not None}
    return respond("forward_auth/signed_out.html", context=shown)


def _continue(app: ProtectedApp, to: str, state: str) -> Response:
    back = with_query(CONTINUE, app=app.host, to=to, state=state, **_requested_step())
    session = current_session()
    if session is None or session.kind != "browser":
        return redirect(with_query("/us-signin", next=back))  # type: ignore[return-value]
    requirements = _requirements_for(app, to)
    throttling.take("requests", present_client().ip_address)
    shown = _shown(app) | {"user_label": label_of(identities_of(session.user_id)), "back": back}
    if requirements.level == "deny" or not requirements.admits(groups_of(session.user_id)):
        record("app.not_allowed", session.user_id, client=app.id, app=app.name)
        answer = respond("forward_auth/not_allowed.html", context=shown | {"host": app.host, "to": to, "state": state})
        answer.status_code = 403
        return answer
    now = clock.now()
    if requirements.level == "aal2" and assurance.level(session, now) < 2:
        return respond("second_factor.html", context=shown)
    if requirements.max_age is not None and session.authenticated_at + requirements.max_age < now:
        return redirect(with_query("/us-verify", next=back))  # type: ignore[return-value]
    return _redirect_with_ticket(app, session, to, state)


def _requirements_for(app: ProtectedApp, to: str) -> Requirements:
    """Return what ``to`` requires at the user's address as seen here, combined with what the proxy asked for.

    The latter comes from the query. Changing it only makes the requirements stricter, and the proxy checks again
    anyway.
    """
    requirements = app.requirements_for("GET", to.partition("?")[0], address_of(present_client().ip_address))
    step = _requested_step()
    level: Level = "aal2" if "level" in step else "public"
    age = timedelta(seconds=int(step["max_age"])) if "max_age" in step else None
    return strictest([requirements, Requirements(level, max_age=age)])


def _requested_step() -> dict[str, str]:
    """Return what the user has to do before they go back, according to the query."""
    step = {"level": "aal2"} if request.args.get("level") == "aal2" else {}
    age = request.args.get("max_age", "")
    return step | ({"max_age": age} if re.fullmatch(r"[1-9][0-9]{0,8}", age, re.ASCII) else {})


def _redirect_with_ticket(app: ProtectedApp, session: AuthSession, to: str, state: str) -> Response:
    ticket = app_sessions.issue_ticket(session, app.host, state)
    after_form = request.headers.get("Sec-Fetch-Site") == "same-origin"
    return redirect_to_app(app.origin + with_query(ENTER, ticket=ticket, to=to), after_form=after_form)


def _spend_ticket(app: ProtectedApp) -> tuple[AuthSession | None, str]:
    """Spend the ticket of this request; return its session, and the digest that it was bound to.

    Without a session, the digest is any that the browser has, or "" for none.
    """
    ticket, binding = request.args.get("ticket", ""), ""
    for binding in map(secrets.digest, sent_bindings()):
        if (session := app_sessions.spend_ticket(ticket, app.host, binding)) is not None:
            return session, binding
    return None, binding


def _cookie_domain_rejected(app: ProtectedApp) -> Response:
    """Stop here, since the browser would come back without its cookie again and again."""
    log.error(
        "forward_auth.cookie_domain_refused",
        domain=settings.forward_auth_cookie_domain,
        app=app.id,
        setting="LATCHKEY_FORWARD_AUTH_COOKIE_DOMAIN",
        remedy="browsers keep no cookie for it, as for co.uk: name a domain that is yours alone, or leave it empty",
    )
    return notice(400, "app_domain_refused", app=app.name)


def _ticket_rejected(app: ProtectedApp, to: str, *, has_cookies: bool) -> Response:
    """Continue if the user is already signed in, as after a reload; otherwise offer to start again."""
    cookie = sent_app_cookie(cookie_scope(app))
    if cookie and app_sessions.find(cookie, cookie_scope(app)) is not None:
        return redirect(to, 303)  # type: ignore[return-value]
    code = "app_ticket_invalid" if has_cookies else "app_cookies_needed"
    return notice(400, code, link=with_query(START, to=to), app=app.name)


def _shown(app: ProtectedApp) -> dict[str, Any]:
    look = {"logo": "", "letter": letter_of(app.name), "tint": tint_of(app.id)}
    return {"app": {"name": app.name, "url": app.origin, "host": app.host, "is_vetted": True}, "look": look}


def _local_target(target: str | None) -> str:
    """Return a path and query on the app's own host; "/" for anything else."""
    if not target or not re.fullmatch(r"/(?![/\\])[\x21-\x7e]*", target):
        return "/"
    target = target.partition("#")[0]
    return target if fits_return_url(target) else "/"
