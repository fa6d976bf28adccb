"""/us-refresh: a program that was signed in stays so."""

from __future__ import annotations

from flask import Response, abort, after_this_request

from app.signin import bp, refreshing
from app.signin.forms import RefreshForm
from app.web.asker import present_asker
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
            done = refreshing.refresh(form.refresh_token.data, present_asker())
            user = {"id": done.user.handle, "authentication_token": done.access, "refresh_token": done.refresh}
            return respond(bare=True, user=user, expires_in=done.expires_in)
    return respond("errors/form.html", form)
