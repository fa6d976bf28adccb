"""/us-signin/status and /us-signin/continue: a sign-in that waits for approval from another device."""

from __future__ import annotations

from flask import Response, after_this_request, request

from app.extensions import settings
from app.signin import approvals, bp
from app.signin.forms import ContinueForm
from app.signin.presenters import PAGE, page_again, welcome
from app.web.access import anonymous_only
from app.web.client import client_context, present_client
from app.web.commit import view_commit
from app.web.redirects import next_or
from app.web.respond import envelope, respond


@bp.get("/us-signin/status")
def us_signin_status() -> Response:
    """Tell the browser or program that asked what became of its link; always in JSON, and no cookie is given."""
    return envelope(200, {"state": approvals.state(present_client(request.args.get("challenge")))})


@bp.post("/us-signin/continue")
@anonymous_only
def us_signin_continue() -> Response:
    """Sign in the browser or program that asked, once its link was approved elsewhere."""
    after_this_request(view_commit)
    form = ContinueForm()
    if form.validate():
        with form.showing_refusals():
            arrived, challenge = approvals.go_on(client_context(form.challenge.data), remember=form.remember.data)
            return welcome(arrived, next_or(challenge.next or settings.post_login_url, form.next.data))
    return respond(PAGE, form, shown=page_again(form))
