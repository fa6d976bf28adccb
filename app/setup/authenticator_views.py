"""/us-authenticator-rename and /us-authenticator-delete: authenticator apps one by one."""

from __future__ import annotations

from flask import Response, after_this_request
from flask_login import current_user, login_required

from app.sessions.freshness import require_fresh
from app.sessions.opening import brought_session
from app.setup import authenticators, bp
from app.setup.forms import RemoveAppForm, RenameAppForm, SetupForm
from app.setup.views import HOME, PAGE, current_session, page_shown
from app.web.asker import asker
from app.web.commit import view_commit
from app.web.respond import respond
from app.web.telling import say


@bp.post("/us-authenticator-rename")
@login_required
def us_authenticator_rename() -> Response:
    """Give an authenticator app another name."""
    after_this_request(view_commit)
    require_fresh(brought_session())
    form = RenameAppForm()
    if form.validate():
        with form.showing_refusals():
            authenticators.rename(current_user, current_session(), form.id.data, form.name.data)
            say("authenticator_renamed")
            return respond(go=HOME)
    return respond(PAGE, form, shown=page_shown(None) | {"adding": SetupForm()})


@bp.post("/us-authenticator-delete")
@login_required
def us_authenticator_delete() -> Response:
    """Remove an authenticator app; the others stay."""
    after_this_request(view_commit)
    require_fresh(brought_session())
    form = RemoveAppForm()
    if form.validate():
        with form.showing_refusals():
            authenticators.remove(current_user, current_session(), form.id.data, asker())
            say("authenticator_removed")
            return respond(go=HOME)
    return respond(PAGE, form, shown=page_shown(None) | {"adding": SetupForm()})
