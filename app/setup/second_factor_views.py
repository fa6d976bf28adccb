"""/tf-setup: second factors, from the account or, where one is required, during sign-in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Response, after_this_request, redirect, request
from flask_login import current_user
from werkzeug.exceptions import MethodNotAllowed

from app.authenticators import totp
from app.authenticators.enrollment_service import PendingEnrollment
from app.authenticators.enrollments import enrolled_of
from app.authenticators.presenters import title_of
from app.challenges.models import challenge_token_of
from app.client import ClientContext
from app.crypto import secrets
from app.enrollments.methods import method_of, second_factor_methods
from app.errors import Rejected
from app.extensions import settings
from app.login import pending
from app.login import second_factor as factors
from app.login.freshness import require_fresh, require_recent
from app.login.presenters import label_of, needed_for_changes
from app.sessions.models import AuthSession
from app.sessions.store import current_session
from app.setup import bp, second_factor
from app.setup.forms import SecondCodeForm, SecondSetupForm
from app.setup.recovery_codes import page_after
from app.setup.views import enrollment_context
from app.users import User, identities_of
from app.web.access import login_required
from app.web.client import client_context, present_client, sending_client
from app.web.commit import view_commit
from app.web.redirects import safe_next, with_query
from app.web.respond import SET_UP, flash_message, respond, wants_json

PAGE = "setup/second.html"
HOME = "/tf-setup"
SIGN_IN_PAGE = "setup/second_on_the_way_in.html"


@bp.get("/tf-setup")
def tf_setup_page() -> Response:
    """Show whether two-step verification is on, and which methods can be a second factor."""
    session = current_session()
    pending_sign_in = None if session else pending.current(present_client())
    if session is None and (pending_sign_in is None or pending_sign_in.row.state != factors.SETUP):
        return _no_setup_open()
    if pending_sign_in is not None:
        begun = None if wants_json() else second_factor.pending_during_sign_in(pending_sign_in)
        shown = _page(pending_sign_in.user, _shown(begun) | {"action": "/tf-validate"} if begun else None)
        return respond(SIGN_IN_PAGE, SecondSetupForm(), context=shown, **_state_of(pending_sign_in.user))
    if wants_json():
        require_recent(session)
    return respond(PAGE, SecondSetupForm(), context=_page(current_user, None), **_state_of(current_user))


@bp.post("/tf-setup")
def tf_setup() -> Response:
    """Start setting up a second factor, or turn two-step verification off."""
    after_this_request(view_commit)
    form = SecondSetupForm()
    session = current_session()
    if session is None:
        return _tf_setup_during_sign_in(form)
    require_fresh(session)
    if form.validate():
        with form.collecting_errors():
            if form.setup.data == "disable":
                second_factor.disable(current_user, session, client_context())
                flash_message("two_factor_disabled")
                return respond(go="/us-setup", user={})
            how = {"existing": form.existing.data}
            begun = second_factor.begin(current_user, session, form.setup.data, form.number, sending_client(), **how)
            handle = challenge_token_of(begun.challenge.id)
            facts = _facts(begun, current_user) | {"tf_state_token": handle}
            return respond(PAGE, form, see_other=f"{HOME}/{handle}", **facts)
    return respond(PAGE, form, context=_page(current_user, None))


@bp.get("/tf-setup/<state>")
@login_required
def tf_setup_begun(state: str) -> Response:
    """Show the second factor being set up, to the browser that started it. API clients got it in that response."""
    if wants_json():
        raise MethodNotAllowed(["POST"])
    begun = second_factor.find_pending(current_user, _session(), state)
    if begun is None:
        flash_message("two_factor_setup_expired", "error")
        return respond(go=HOME)
    return respond(PAGE, SecondSetupForm(), context=_page(current_user, _shown(begun)))


@bp.post("/tf-setup/<state>")
@login_required
def tf_setup_confirm(state: str) -> Response:
    """Verify a second factor. It is required from now on."""
    after_this_request(view_commit)
    form = SecondCodeForm()
    if form.validate():
        with form.collecting_errors():
            done = second_factor.confirm(
                current_user, _session(), state, form.code.data, client_context(), form.name.data or ""
            )
            flash_message("two_factor_set_up", SET_UP)
            facts: dict[str, Any] = {"tf_method": done.method, "tf_primary_method": done.method}
            go = "/us-setup" if wants_json() else page_after(current_user, _session(), done.method, "/us-setup")
            return respond(go=go, tf_phone=identities_of(current_user.id).get("phone"), **facts)
    begun = None if wants_json() else second_factor.find_pending(current_user, _session(), state)
    if begun is None and not wants_json():
        form.form_errors.extend(form.code.errors)
    shown = _page(current_user, _shown(begun, form) if begun else None)
    return respond(PAGE, form, context=shown | {"adding": SecondSetupForm()})


def _session() -> AuthSession:
    session = current_session()
    assert session is not None  # guaranteed by login_required
    return session


def _tf_setup_during_sign_in(form: SecondSetupForm) -> Response:
    who = _client_of(form.pending.data)
    pending_sign_in = pending.current(who)
    if pending_sign_in is None or pending_sign_in.row.state != factors.SETUP:
        return _no_setup_open()
    if form.validate():
        with form.collecting_errors():
            begun = second_factor.begin_during_sign_in(pending_sign_in, form.setup.data, form.number, who)
            facts = _facts(begun, pending_sign_in.user) | {"tf_state_token": None}
            return respond(SIGN_IN_PAGE, form, see_other=HOME, **facts)
    return respond(SIGN_IN_PAGE, form, context=_page(pending_sign_in.user, None))


def _client_of(handle: str | None) -> ClientContext:
    """Return the client; one without cookies sends back the ``pending`` token that it was given."""
    who = sending_client()
    return replace(who, pending_secret=secrets.digest(handle)) if handle and not who.pending_secret else who


def _no_setup_open() -> Response:
    """Respond to a client that is neither signed in nor has to set up a second factor during sign-in."""
    if wants_json():
        raise Rejected("two_factor_permission_denied")
    flash_message("two_factor_permission_denied", "error")
    goal = safe_next(request.args.get("next"))
    return redirect(with_query("/login", next=goal) if goal else "/login")  # type: ignore[return-value]


def _state_of(user: User) -> dict[str, Any]:
    enrolled = enrolled_of(user.id)
    marked = [name for name in second_factor_methods() if name in {row.method for row in enrolled if row.is_second}]
    may_disable = marked and settings.second_factor != "required"
    able = (
        [name for name in factors.enabled_second_factors() if not method_of(name).has_own_pages]
        if settings.second_factor != "off"
        else []
    )
    primary = marked[0] if marked else None
    return {
        "tf_required": settings.second_factor == "required",
        "tf_primary_method": primary,
        "tf_method": primary,
        "tf_phone_number": identities_of(user.id).get("phone"),
        "tf_available_methods": ["disable"] * bool(may_disable) + able,
    }


def _facts(begun: PendingEnrollment, user: User) -> dict[str, Any]:
    method = begun.challenge.method
    facts: dict[str, Any] = {"tf_state": "validating_profile", "tf_method": method, "tf_primary_method": method}
    if begun.secret:
        facts |= {
            "tf_authr_key": totp.grouped(begun.secret),
            "tf_authr_b32key": begun.secret,
            "tf_authr_username": begun.account,
            "tf_authr_issuer": settings.totp_issuer,
            "tf_authr_uri": totp.otpauth_uri(begun.secret, begun.account),
        }
    return facts


def _shown(begun: PendingEnrollment, form: SecondCodeForm | None = None) -> dict[str, Any]:
    shown = enrollment_context(begun) or {}
    shown["existing"] = not begun.challenge.secret
    return shown | {"form": form or SecondCodeForm(), "action": f"/tf-setup/{challenge_token_of(begun.challenge.id)}"}


def _page(user: User, enrolling: dict[str, Any] | None) -> dict[str, Any]:
    """Return the page's context; empty for API clients."""
    if wants_json():
        return {}
    mine, state = identities_of(user.id), _state_of(user)
    enrolled = enrolled_of(user.id)
    rows = {row.method: row for row in enrolled if not row.is_pending}
    app_signs_in = any(row.signs_in for row in totp.apps_among(enrolled))
    able = [name for name in state["tf_available_methods"] if name != "disable"]
    ways = [
        {
            "name": name,
            "title": title_of(name),
            "detail": mine.get(method_of(name).reaches, ""),
            "is_set_up": name in rows,
            "is_second": name in rows and rows[name].is_second,
            "signs_in": method_of(name).usable_alone_as_second or app_signs_in,
        }
        for name in able
    ]
    return {
        "needed": needed_for_changes(current_session(), enrolled),
        "ways": ways,
        "on": any(way["is_second"] for way in ways),
        "alone": [way["title"] for way in ways if way["name"] not in settings.second_factor_for and way["signs_in"]],
        "enrolling": enrolling,
        "user_label": label_of(mine),
        "may_disable": "disable" in state["tf_available_methods"],
    }
