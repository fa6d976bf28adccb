"""/us-verify and /verify: confirm it's you."""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request, request
from flask_login import current_user

from app.authenticators import recovery_codes
from app.authenticators.assurance import assurance_levels_of
from app.authenticators.enrollments import enrolled_of
from app.authenticators.presenters import methods_text, sent_code_context, sent_code_facts
from app.challenges.service import latest_in_browser
from app.enrollments.methods import code_methods, method_of, usable_methods
from app.enrollments.models import Enrollment
from app.extensions import settings
from app.login.presenters import label_of, user_facts
from app.sessions.store import current_session
from app.signin import bp, reauthentication
from app.signin.forms import VerifyForm, VerifySendForm
from app.signin.presenters import say_confirmed
from app.users import identities_of
from app.web.access import login_required
from app.web.client import client_context, present_client, sending_client
from app.web.commit import view_commit
from app.web.redirects import next_or, safe_next, with_query
from app.web.respond import respond, support_id, wants_json, wants_token

PAGE = "signin/verify.html"
HOME = "/us-verify"


@bp.get("/us-verify")
@bp.get("/verify", endpoint="verify")
@login_required
def us_verify_page() -> Response:
    """Show the methods for reauthenticating."""
    enrolled = enrolled_of(current_user.id)
    form = VerifyForm()
    form.next.data = request.args.get("next")
    active = usable_methods(enrolled)
    sending = [name for name in active if name in code_methods()]
    facts: dict[str, Any] = {"available_methods": active, "code_methods": sending}
    enough = assurance_levels_of(enrolled).enough
    facts |= {
        "reauth_methods": enough,
        "has_webauthn_verify_credential": any(not method_of(name).is_typed for name in enough),
    }
    facts |= {"oauth_enabled": False, "oauth_providers": []}
    facts |= {"user": user_facts(current_user)} if request.path == "/verify" else {}
    sent_code = None if wants_json() or "new" in request.args else _open_here()
    return respond(PAGE, form, context=_page(enrolled, sent_code), **facts)


@bp.post("/us-verify")
@bp.post("/verify", endpoint="verify_post")
@login_required
def us_verify() -> Response:
    """Freshen the session with a passcode of any of the user's methods."""
    after_this_request(view_commit)
    form = VerifyForm()
    if form.validate():
        with form.collecting_errors():
            session = current_session()
            assert session is not None
            reauthentication.verify(current_user, session, form.passcode.data, client_context(form.challenge.data))
            say_confirmed(session)
            go = next_or(settings.post_verify_url or "/", form.next.data)
            return respond(go=go, user=user_facts(current_user, session, with_token=wants_token(), instead=True))
    return respond(PAGE, form, context=_page_again())


@bp.post("/us-verify/send-code")
@login_required
def us_verify_send_code() -> Response:
    """Send a passcode to the signed-in user."""
    after_this_request(view_commit)
    form = VerifySendForm()
    if form.validate():
        with form.collecting_errors():
            challenge = reauthentication.send_code(
                current_user, form.chosen_method.data, sending_client(form.challenge.data)
            )
            goal = safe_next(form.next.data)
            page = with_query(HOME, next=goal) if goal else HOME
            sent_code = sent_code_facts(sent_code_context(challenge, challenge.destination))
            return respond(PAGE, form, see_other=page, support_id=support_id(), **sent_code)
    return respond(PAGE, form, context=_page_again())


def _page_again() -> dict[str, Any]:
    """Return the template context after a rejected passcode: the code entry, if this browser requested a code."""
    return {} if wants_json() else _page(enrolled_of(current_user.id), _open_here())


def _open_here() -> dict[str, Any] | None:
    """Return the code that this browser has requested, as the page shows it; None without one. One statement."""
    challenge = latest_in_browser(present_client(), reauthentication.PURPOSE)
    mine = challenge is not None and challenge.user_id == current_user.id
    return sent_code_context(challenge, challenge.destination) if challenge is not None and mine else None


def _page(enrolled: list[Enrollment], sent_code: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the template context: the methods that are strong enough for sensitive changes, and the others."""
    if wants_json():
        return {}
    strengths, label = assurance_levels_of(enrolled), label_of(identities_of(current_user.id))
    hours = round(settings.new_method_wait.total_seconds() / 3600)
    return {"methods": strengths.enough, "weaker": strengths.weaker, "sent": sent_code, "user_label": label,
            "strongest": methods_text(strengths.enough), "cooldown_hours": hours,
            "has_recovery_codes": recovery_codes.count_of(current_user.id).left > 0}  # fmt: skip
