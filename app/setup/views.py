"""/us-setup: add and remove ways to sign in."""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request
from flask_login import current_user, login_required
from werkzeug.exceptions import MethodNotAllowed

from app.extensions import settings
from app.kit import clock
from app.kit.refusals import Refused
from app.methods import EnrolledMethod, authenticator, authenticators, recovery_codes
from app.methods.enrolling import Enrollment
from app.methods.enrollment import enrolled_of
from app.methods.handles import handle_of
from app.methods.registry import REGISTRY, active_methods, enabled_methods
from app.methods.second import seconds_enabled
from app.methods.showing import (
    SECOND_STEPS,
    app_key,
    apps_shown,
    apps_told,
    exposure_of,
    methods_offered,
    sent,
    ways_in,
)
from app.sessions.freshness import require_fresh, require_recent
from app.sessions.models import AuthSession
from app.sessions.opening import brought_session
from app.sessions.showing import label_of, needed_for_changes
from app.setup import bp, flow
from app.setup.forms import ProveForm, SetupForm
from app.setup.passkey_pages import shown_passkeys
from app.setup.recovery import page_after
from app.users import identities_of
from app.web.asker import asker, sending_asker
from app.web.commit import view_commit
from app.web.respond import respond, wants_json
from app.web.telling import say

PAGE = "setup/setup.html"
HOME = "/us-setup"


@bp.get("/us-setup")
@login_required
def us_setup_page() -> Response:
    """Show what is set up and what can be."""
    if wants_json():
        require_recent(brought_session())
    mine = identities_of(current_user.id)
    enrolled = enrolled_of(current_user.id)
    offered = methods_offered()
    facts: dict[str, Any] = {
        "active_methods": active_methods(enrolled) or [None],
        "authenticators": apps_told(enrolled),
        "available_methods": offered["available_methods"],
        "identity_attributes": offered["identity_attributes"],
        "setup_methods": [name for name in enabled_methods() if name != "password"],
        "phone": mine.get("phone"),
    }
    return respond(PAGE, SetupForm(), shown=page_shown(None, mine, enrolled), **facts)


@bp.post("/us-setup")
@login_required
def us_setup() -> Response:
    """Begin to add a method, or remove some, or both."""
    after_this_request(view_commit)
    form = SetupForm()
    _require_proof(form)
    if form.validate():
        with form.showing_refusals():
            chosen, removed = form.chosen_method.data, form.delete_method.data or []
            if not chosen and not removed:
                raise Refused("api_error")
            session = current_session()
            if removed:
                flow.allow_removal(current_user, session, removed)
            phone, replacing = form.phone.data, chosen in removed
            begun = (
                flow.begin(current_user, session, chosen, phone, sending_asker(), replacing=replacing)
                if chosen
                else None
            )
            if removed:
                flow.remove(current_user, session, removed, asker())
            if begun is None:
                say("method_removed")
                return respond(PAGE, form, see=HOME)
            return respond(PAGE, form, see=f"{HOME}/{handle_of(begun.challenge.id)}", **_facts(begun))
    return respond(PAGE, form, shown=page_shown(None))


@bp.get("/us-setup/<state>")
@login_required
def us_setup_begun(state: str) -> Response:
    """Show what is being set up, to the browser that began it; a program has it from there."""
    if wants_json():
        raise MethodNotAllowed(["POST"])
    begun = flow.still_open(current_user, current_session(), state)
    if begun is None:
        say("us_setup_expired", "error")
        return respond(go=HOME)
    return respond(PAGE, SetupForm(), shown=page_shown(enrolling_shown(begun)))


@bp.post("/us-setup/<state>")
@login_required
def us_setup_confirm(state: str) -> Response:
    """Prove an enrollment; only now it is stored."""
    after_this_request(view_commit)
    form = ProveForm()
    if form.validate():
        with form.showing_refusals():
            named = form.name.data or ""
            done = flow.confirm(current_user, current_session(), state, form.passcode.data, asker(), named)
            say("us_setup_successful")
            phone = identities_of(current_user.id).get("phone")
            go = settings.us_post_setup_url or HOME
            if not wants_json() and not settings.us_post_setup_url:
                go = page_after(current_user, current_session(), done.method, go)
            return respond(go=go, chosen_method=done.method, phone=phone)
    return _refused(state, form)


def current_session() -> AuthSession:
    """Return the session of who is signed in."""
    session = brought_session()
    assert session is not None  # login_required has seen to it
    return session


def _require_proof(form: SetupForm) -> None:
    """Go on with any recent proof where a method is only added; with one as strong as the strongest for the rest.

    :raises ReauthenticationRequired: when there is none
    """
    chosen = form.chosen_method.data
    if not chosen or form.delete_method.data or flow.changes_what_is_there(current_user, chosen):
        require_fresh(brought_session())
    else:
        require_recent(brought_session())


def _refused(state: str, form: ProveForm) -> Response:
    """Tell a program what is wrong; show a browser the enrollment again, or that it is over."""
    if wants_json():
        return respond(PAGE, form)
    begun = flow.still_open(current_user, current_session(), state)
    if begun is None:
        form.form_errors.extend(form.passcode.errors)
        return respond(PAGE, form, shown=page_shown(None) | {"adding": SetupForm()})
    return respond(PAGE, form, shown=page_shown(enrolling_shown(begun, form)) | {"adding": SetupForm()})


def _facts(begun: Enrollment) -> dict[str, Any]:
    challenge = begun.challenge
    handle = handle_of(challenge.id)
    phone = challenge.destination if challenge.method == "sms" else None
    facts = {"chosen_method": challenge.method, "phone": phone, "state": handle, "challenge": handle}
    if begun.secret:
        facts |= {
            "authr_key": authenticator.grouped(begun.secret),
            "authr_b32key": begun.secret,
            "authr_username": begun.account,
            "authr_issuer": settings.totp_issuer,
            "authr_uri": authenticator.otpauth_uri(begun.secret, begun.account),
        }
    return facts


def enrolling_shown(begun: Enrollment, form: ProveForm | None = None) -> dict[str, Any] | None:
    """Return what a page shows of a method that is being set up."""
    if wants_json():
        return None
    challenge = begun.challenge
    shown: dict[str, Any] = {
        "method": challenge.method,
        "state": handle_of(challenge.id),
        "phone": challenge.destination if challenge.method == "sms" else None,
        "account": begun.account,
        "issuer": settings.totp_issuer,
        "expires_in": int((challenge.expires_at - clock.now()).total_seconds()),
        "tag": challenge.tag,
        "form": form or ProveForm(),
    }
    if REGISTRY[challenge.method].sends:
        shown["sent"] = sent(challenge, challenge.destination)
    return shown | app_key(begun.secret, begun.account)


def page_shown(
    enrolling: dict[str, Any] | None,
    mine: dict[str, str] | None = None,
    enrolled: list[EnrolledMethod] | None = None,
) -> dict[str, Any]:
    """Return what the page shows; a program needs none of it.

    :param mine: what finds the user, and ``enrolled`` what they have set up, where that was read already
    """
    if wants_json():
        return {}
    mine = identities_of(current_user.id) if mine is None else mine
    enrolled = enrolled_of(current_user.id) if enrolled is None else enrolled
    ways, apps = ways_in(enrolled, mine), apps_shown(enrolled)
    names = {way["name"] for way in ways} - {"sms"} | {authenticators.METHOD for _ in apps}
    full = len(apps) >= authenticators.MOST
    addable = [name for name in enabled_methods() if name not in names]
    shown = shown_passkeys(current_user)
    alone = shown["available"] and any(key.usage == "first" for key in shown["passkeys"])
    ways, apps = ([way | {"removable": way["removable"] or alone} for way in each] for each in (ways, apps))
    return shown | {"methods": ways, "apps": apps, "apps_full": full,
                    "can_add_app": not full and authenticators.METHOD in enabled_methods(),
                    "addable": addable, "enrolling": enrolling, "user_label": label_of(mine),
                    "password_length_min": settings.password_length_min,
                    "second_step": _second_step(enrolled),
                    "needed": needed_for_changes(current_session(), enrolled),
                    "recovery": recovery_codes.stock_of(current_user.id)}  # fmt: skip


def _second_step(enrolled: list[EnrolledMethod]) -> dict[str, Any] | None:
    """Return how the second step stands; None where nobody is asked for one, or nothing can be one."""
    able = seconds_enabled()
    if settings.second_factor == "off" or not able:
        return None
    marked = {row.method for row in enrolled if row.is_second}
    return {
        "on": [SECOND_STEPS[name] for name in able if name in marked],
        "exposed": exposure_of(active_methods(enrolled)),
        "app": "authenticator" in able and "authenticator" not in marked,
        "required": settings.second_factor == "required",
    }
