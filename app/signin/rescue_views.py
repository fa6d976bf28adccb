"""/mf-recovery and /tf-rescue: the second step without its factor."""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request, redirect, request
from flask_login import current_user

from app.errors import Rejected
from app.extensions import settings
from app.login import pending
from app.login.presenters import user_facts
from app.login.second_factor import SETUP
from app.signin import bp, rescue
from app.signin.forms import RecoveryCodeForm, RescueForm
from app.signin.second_factor_views import OVER, nothing_under_way, start_again, step_asker
from app.web.access import anonymous_only
from app.web.client import present_client
from app.web.commit import view_commit
from app.web.messages import code_of
from app.web.redirects import next_or, safe_next
from app.web.respond import respond, say, wants_json

PAGE = "signin/recovery_code.html"
RESCUE_PAGE = "signin/rescue.html"


@bp.get("/mf-recovery")
@anonymous_only
def mf_recovery_page() -> Response:
    """Show where a recovery code goes."""
    waiting = pending.current(present_client())
    if waiting is None or waiting.row.state == SETUP:
        return nothing_under_way()
    form = RecoveryCodeForm()
    form.next.data = safe_next(request.args.get("next"))
    return respond(PAGE, form)


@bp.post("/mf-recovery")
@anonymous_only
def mf_recovery() -> Response:
    """Take a recovery code for the second step; it is used up, and the sign-in under way becomes a session."""
    after_this_request(view_commit)
    form = RecoveryCodeForm()
    client = step_asker(form.pending.data)
    if form.validate():
        with form.showing_refusals():
            session, waiting = rescue.use_code(form.code.data, client)
            say("two_factor_login_successful")
            go = next_or(waiting.row.next or settings.post_login_url, form.next.data)
            return respond(go=go, user=user_facts(current_user, session))
    return _again(PAGE, form)


@bp.get("/tf-rescue")
@anonymous_only
def tf_rescue_page() -> Response:
    """Tell what else there is than the second step."""
    waiting = pending.current(present_client())
    if waiting is None:
        return nothing_under_way()
    return respond(RESCUE_PAGE, RescueForm(), recovery_options=rescue.options(waiting))


@bp.post("/tf-rescue")
@anonymous_only
def tf_rescue() -> Response:
    """Go to the recovery codes, programs too, as clients of the contract expect; or ask for help."""
    after_this_request(view_commit)
    form = RescueForm()
    client = step_asker(form.pending.data)
    options: dict[str, str] = {}
    if form.validate():
        with form.showing_refusals():
            options = rescue.options(pending.get(client))
            if form.help_setup.data == "recovery_code":
                return redirect("/mf-recovery")  # type: ignore[return-value]
            if form.help_setup.data != "help":
                raise Rejected("invalid_choice", field="help_setup")
            rescue.ask_for_help(client)
            return respond(RESCUE_PAGE, form, shown={"asked": True}, recovery_options=options)
    return _again(RESCUE_PAGE, form, recovery_options=options)


def _again(page: str, form: RecoveryCodeForm | RescueForm, **shown: Any) -> Response:
    """Show a refused page again, or send a browser back whose sign-in is over."""
    codes = {code_of(text) for _, text in form.faults()}
    if codes <= OVER and not wants_json():
        return start_again(codes.pop(), form.next.data if isinstance(form, RecoveryCodeForm) else None)
    return respond(page, form, shown=shown)
