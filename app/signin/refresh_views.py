"""/us-refresh: exchange a refresh token, so that an API client stays signed in."""

from __future__ import annotations

from flask import Response, abort, after_this_request

from app import throttling
from app.audit import record
from app.client import ClientContext
from app.errors import Rejected
from app.notifications import notices
from app.sessions import refresh_tokens
from app.sessions.refresh_tokens import Exchanged, Reused
from app.signin import bp
from app.signin.forms import RefreshForm
from app.web.client import present_client
from app.web.commit import view_commit
from app.web.json_body import sends_json
from app.web.respond import respond


@bp.post("/us-refresh")
@bp.post("/refresh-token", endpoint="refresh_token")
def us_refresh() -> Response:
    """Exchange a refresh token. In JSON alone: a form is what a foreign page can have a browser send."""
    after_this_request(view_commit)
    form = RefreshForm()
    if form.validate():
        if not sends_json():
            abort(415)
        with form.showing_refusals():
            done = refresh(form.refresh_token.data, present_client())
            user = {"id": done.user.handle, "authentication_token": done.access, "refresh_token": done.refresh}
            return respond(bare=True, user=user, expires_in=done.expires_in)
    return respond("errors/form.html", form)


def refresh(token: str, client: ClientContext) -> Exchanged:
    """Exchange ``token``, once. One that was exchanged before ends its session, and its owner is told.

    :raises Rejected: ``refresh_token_invalid`` or ``refresh_token_reused`` (401) on ``refresh_token``;
        ``too_many_requests`` after too many exchanges, or too many of these, from one network address
    """
    throttling.take("exchanges", client.ip_address)
    throttling.allow("failures", client.ip_address)
    done = refresh_tokens.exchange(token)
    if isinstance(done, Exchanged):
        return done
    if isinstance(done, Reused):
        record("refresh.reused", done.user_id)
        what = "A program was signed out, because its refresh token came twice. Somebody may have a copy of it."
        notices.notify(done.user_id, what, client, session_id=done.session_id)
    throttling.take("failures", client.ip_address)
    code = "refresh_token_reused" if isinstance(done, Reused) else "refresh_token_invalid"
    raise Rejected(code, field="refresh_token", status=401)


def sign_out(token: str) -> None:
    """End the session that gave this refresh token, if there is one. Whoever holds it may; nobody is told whether."""
    user_id = refresh_tokens.end(token)
    if user_id is not None:
        record("session.ended", user_id, reason="signed_out")
