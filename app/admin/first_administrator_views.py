"""/admin/first: the page behind the one-time link for the first administrator."""

from __future__ import annotations

from flask import Response, after_this_request, request
from flask_login import current_user

from app.admin import access, bp
from app.errors import Rejected
from app.i18n import N_
from app.login.freshness import require_recent
from app.login.presenters import label_of
from app.sessions.store import current_session
from app.users import identities_of
from app.web.access import login_required
from app.web.commit import view_commit
from app.web.errors import unauthenticated
from app.web.forms import BaseForm, Required, TextField
from app.web.respond import flash_message, respond

PAGE = "admin/first.html"


class FirstForm(BaseForm):
    """Become an administrator with a link."""

    token = TextField(N_("Link"), [Required("admin_link_invalid")])


@bp.get("/first")
def first() -> Response:
    """Ask the signed-in visitor whether to make their account an administrator."""
    if current_session() is None:
        return unauthenticated()
    token = request.args.get("token", "")
    if "\x00" in token or not access.is_first_link_open(token):
        raise Rejected("admin_link_invalid")
    return respond(PAGE, FirstForm(), context=_page_context(token))


@bp.post("/first")
@login_required
def become_first() -> Response:
    """Make the signed-in account an administrator."""
    after_this_request(view_commit)
    require_recent(current_session())
    form = FirstForm()
    if form.validate():
        with form.collecting_errors():
            access.use_first_link(str(form.token.data), current_user)
            flash_message("person_is_administrator")
            return respond(go="/admin")
    return respond(PAGE, form, context=_page_context(str(form.token.data or "")))


def _page_context(token: str) -> dict[str, str]:
    return {"token": token, "user_label": label_of(identities_of(current_user.id))}
