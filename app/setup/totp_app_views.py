"""/us-authenticator-rename and /us-authenticator-delete."""

from __future__ import annotations

from flask import Response, after_this_request
from flask_login import current_user

from app.login.freshness import require_fresh
from app.sessions.store import current_session
from app.setup import bp, totp_apps
from app.setup.forms import RemoveAppForm, RenameAppForm, SetupForm
from app.setup.views import HOME, PAGE, page_shown, session_in_use
from app.web.access import login_required
from app.web.client import client_context
from app.web.commit import view_commit
from app.web.respond import respond, say


@bp.post("/us-authenticator-rename")
@login_required
def us_authenticator_rename() -> Response:
    """Give an authenticator app another name."""
    after_this_request(view_commit)
    require_fresh(current_session())
    form = RenameAppForm()
    if form.validate():
        with form.showing_refusals():
            totp_apps.rename(current_user, session_in_use(), form.id.data, form.name.data)
            say("authenticator_renamed")
            return respond(go=HOME)
    return respond(PAGE, form, shown=page_shown(None) | {"adding": SetupForm()})


@bp.post("/us-authenticator-delete")
@login_required
def us_authenticator_delete() -> Response:
    """Remove an authenticator app; the others stay."""
    after_this_request(view_commit)
    require_fresh(current_session())
    form = RemoveAppForm()
    if form.validate():
        with form.showing_refusals():
            totp_apps.remove(current_user, session_in_use(), form.id.data, client_context())
            say("authenticator_removed")
            return respond(go=HOME)
    return respond(PAGE, form, shown=page_shown(None) | {"adding": SetupForm()})
