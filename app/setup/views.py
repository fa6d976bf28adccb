"""/us-setup, /us-authenticator-rename and -delete: add and remove sign-in methods."""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request
from flask_login import current_user
from werkzeug.exceptions import MethodNotAllowed

from app import clock
from app.authenticators import recovery_codes, totp
from app.authenticators.enrollment_service import PendingEnrollment
from app.authenticators.enrollments import enrolled_of
from app.authenticators.presenters import (
    app_key,
    apps_for_clients,
    apps_for_page,
    exposure_of,
    methods_offered,
    sent_code_context,
    sent_code_facts,
    sign_in_methods,
)
from app.authenticators.registry import authenticator_of
from app.challenges.models import challenge_token_of
from app.enrollments.methods import active_methods, enabled_methods, method_of
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import settings
from app.i18n import gettext
from app.login.freshness import require_fresh, require_recent
from app.login.presenters import label_of, needed_for_changes
from app.login.second_factor import enabled_second_factors
from app.sessions.models import AuthSession
from app.sessions.store import current_session
from app.setup import bp
from app.setup import service as enrollment
from app.setup.forms import RemoveAppForm, RenameAppForm, SetupForm, VerifyEnrollmentForm
from app.setup.presenters import passkeys_context
from app.setup.recovery_codes import page_after
from app.users import identities_of
from app.web.access import login_required
from app.web.client import client_context, sending_client
from app.web.commit import view_commit
from app.web.respond import SET_UP, flash_message, respond, wants_json

PAGE = "setup/setup.html"
HOME = "/us-setup"


@bp.get("/us-setup")
@login_required
def us_setup_page() -> Response:
    """Show the methods that are set up and those that can be added."""
    if wants_json():
        require_recent(current_session())
    mine = identities_of(current_user.id)
    enrolled = enrolled_of(current_user.id)
    offered = methods_offered()
    facts: dict[str, Any] = {
        "active_methods": active_methods(enrolled) or [None],
        "authenticators": apps_for_clients(enrolled),
        "available_methods": offered["available_methods"],
        "identity_attributes": offered["identity_attributes"],
        "setup_methods": [name for name in enabled_methods() if not method_of(name).is_user_chosen],
        "phone": mine.get("phone"),
    }
    return respond(PAGE, SetupForm(), context=page_context(None, mine, enrolled), **facts)


@bp.post("/us-setup")
@login_required
def us_setup() -> Response:
    """Start adding a method, remove methods, or both."""
    after_this_request(view_commit)
    form = SetupForm()
    _require_verification(form)
    if form.validate():
        with form.collecting_errors():
            chosen, removed = form.chosen_method.data, form.delete_method.data or []
            if not chosen and not removed:
                raise Rejected("api_error")
            session = session_in_use()
            if removed:
                enrollment.check_removal(current_user, session, removed)
            phone, replacing = form.number, chosen in removed
            begun = (
                enrollment.begin(current_user, session, chosen, phone, sending_client(), replacing=replacing)
                if chosen
                else None
            )
            if removed:
                enrollment.remove(current_user, session, removed, client_context())
            if begun is None:
                flash_message("method_removed")
                return respond(PAGE, form, see_other=HOME)
            return respond(PAGE, form, see_other=f"{HOME}/{challenge_token_of(begun.challenge.id)}", **_facts(begun))
    return respond(PAGE, form, context=page_context(None))


@bp.get("/us-setup/<state>")
@login_required
def us_setup_begun(state: str) -> Response:
    """Show the method being set up, to the browser that started it. API clients got it in that response."""
    if wants_json():
        raise MethodNotAllowed(["POST"])
    begun = enrollment.find_pending(current_user, session_in_use(), state)
    if begun is None:
        flash_message("us_setup_expired", "error")
        return respond(go=HOME)
    return respond(PAGE, SetupForm(), context=page_context(enrollment_context(begun)))


@bp.post("/us-setup/<state>")
@login_required
def us_setup_confirm(state: str) -> Response:
    """Verify an enrollment and store it."""
    after_this_request(view_commit)
    form = VerifyEnrollmentForm()
    if form.validate():
        with form.collecting_errors():
            named = form.name.data or ""
            done = enrollment.confirm(
                current_user, session_in_use(), state, form.passcode.data, client_context(), named
            )
            flash_message("us_setup_successful", SET_UP)
            phone = identities_of(current_user.id).get("phone")
            go = settings.us_post_setup_url or HOME
            if not wants_json() and not settings.us_post_setup_url:
                go = page_after(current_user, session_in_use(), done.method, go)
            return respond(go=go, chosen_method=done.method, phone=phone)
    return _page_after_rejection(state, form)


@bp.post("/us-authenticator-rename")
@login_required
def us_authenticator_rename() -> Response:
    """Rename an authenticator app."""
    after_this_request(view_commit)
    require_fresh(current_session())
    form = RenameAppForm()
    if form.validate():
        with form.collecting_errors():
            enrollment.rename_app(current_user, session_in_use(), form.id.data, form.name.data)
            flash_message("authenticator_renamed")
            return respond(go=HOME)
    return respond(PAGE, form, context=page_context(None) | {"adding": SetupForm()})


@bp.post("/us-authenticator-delete")
@login_required
def us_authenticator_delete() -> Response:
    """Remove an authenticator app; others stay."""
    after_this_request(view_commit)
    require_fresh(current_session())
    form = RemoveAppForm()
    if form.validate():
        with form.collecting_errors():
            enrollment.remove_app(current_user, session_in_use(), form.id.data, client_context())
            flash_message("authenticator_removed")
            return respond(go=HOME)
    return respond(PAGE, form, context=page_context(None) | {"adding": SetupForm()})


def session_in_use() -> AuthSession:
    """Return the session of the signed-in user."""
    session = current_session()
    assert session is not None  # guaranteed by login_required
    return session


def _require_verification(form: SetupForm) -> None:
    """Require any recent reauthentication to add a method, and one as strong as the strongest method for other changes.

    :raises ReauthenticationRequired: if there is none
    """
    chosen = form.chosen_method.data
    if not chosen or form.delete_method.data or enrollment.replaces_existing(current_user, chosen):
        require_fresh(current_session())
    else:
        require_recent(current_session())


def _page_after_rejection(state: str, form: VerifyEnrollmentForm) -> Response:
    """Return the errors to API clients; show browsers the enrollment again, or that it is over."""
    if wants_json():
        return respond(PAGE, form)
    begun = enrollment.find_pending(current_user, session_in_use(), state)
    if begun is None:
        form.form_errors.extend(form.passcode.errors)
        return respond(PAGE, form, context=page_context(None) | {"adding": SetupForm()})
    return respond(PAGE, form, context=page_context(enrollment_context(begun, form)) | {"adding": SetupForm()})


def _facts(begun: PendingEnrollment) -> dict[str, Any]:
    challenge = begun.challenge
    handle = challenge_token_of(challenge.id)
    traits = method_of(challenge.method)
    phone = challenge.destination if traits.owns_identity else None
    facts: dict[str, Any] = {"chosen_method": challenge.method, "phone": phone, "state": handle, "challenge": handle}
    if method_of(challenge.method).sends:
        facts |= sent_code_facts(sent_code_context(challenge, challenge.destination))
    if begun.secret:
        facts |= {
            "authr_key": totp.grouped(begun.secret),
            "authr_b32key": begun.secret,
            "authr_username": begun.account,
            "authr_issuer": settings.totp_issuer,
            "authr_uri": totp.otpauth_uri(begun.secret, begun.account),
        }
    return facts


def enrollment_context(begun: PendingEnrollment, form: VerifyEnrollmentForm | None = None) -> dict[str, Any] | None:
    """Return what the page shows of a method being set up."""
    if wants_json():
        return None
    challenge = begun.challenge
    shown: dict[str, Any] = {
        "method": challenge.method,
        "state": challenge_token_of(challenge.id),
        "phone": challenge.destination if method_of(challenge.method).owns_identity else None,
        "account": begun.account,
        "issuer": settings.totp_issuer,
        "expires_in": int((challenge.expires_at - clock.now()).total_seconds()),
        "tag": challenge.tag,
        "form": form or VerifyEnrollmentForm(),
    }
    if method_of(challenge.method).sends:
        shown["sent"] = sent_code_context(challenge, challenge.destination)
    return shown | app_key(begun.secret, begun.account)


def page_context(
    enrolling: dict[str, Any] | None,
    mine: dict[str, str] | None = None,
    enrolled: list[Enrollment] | None = None,
) -> dict[str, Any]:
    """Return the page's context; empty for API clients.

    :param mine: the user's identities, and ``enrolled`` their enrollments, if already looked up
    """
    if wants_json():
        return {}
    mine = identities_of(current_user.id) if mine is None else mine
    enrolled = enrolled_of(current_user.id) if enrolled is None else enrolled
    ways, apps = sign_in_methods(enrolled, mine), apps_for_page(enrolled)
    names = {way["name"] for way in ways if not method_of(way["name"]).owns_identity} | {totp.METHOD for _ in apps}
    full = len(apps) >= totp.MAX_APPS
    addable = [
        name
        for name in enabled_methods()
        if name not in names and (method_of(name).reaches != "email" or "email" in mine)
    ]
    shown = passkeys_context(current_user)
    alone = shown["available"] and any(key.usage == "first" for key in shown["passkeys"])
    ways, apps = ([way | {"removable": way["removable"] or alone} for way in each] for each in (ways, apps))
    return shown | {"methods": ways, "apps": apps, "apps_full": full,
                    "can_add_app": not full and method_of(totp.METHOD).is_enabled,
                    "addable": addable, "enrolling": enrolling, "user_label": label_of(mine),
                    "password_length_min": settings.password_length_min,
                    "second_step": _second_step(enrolled),
                    "needed": needed_for_changes(session_in_use(), enrolled),
                    "recovery": recovery_codes.count_of(current_user.id)}  # fmt: skip


def _second_step(enrolled: list[Enrollment]) -> dict[str, Any] | None:
    """Return the state of two-step verification; None if it is off or no method can be a second factor."""
    able = enabled_second_factors()
    if settings.second_factor == "off" or not able:
        return None
    marked = {row.method for row in enrolled if row.is_second}
    return {
        "on": [gettext(authenticator_of(name).second_phrase) for name in able if name in marked],
        "exposed": exposure_of(active_methods(enrolled)),
        "app": any(authenticator_of(name).shows_secret for name in able if name not in marked),
        "required": settings.second_factor == "required",
    }
