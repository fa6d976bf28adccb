"""/admin/invitations: list, create and revoke invitations.

The link of an emailed invitation is never shown here. The link of an invitation that the administrator passes on
appears only in the response that creates it.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from flask import Response, after_this_request, request

from app.admin import bp
from app.admin.access import actor, record_action
from app.admin.forms import InvitationForm
from app.admin.presenters import answers_without_page, invitation_facts, page_facts
from app.crypto.secrets import is_row_id
from app.errors import Rejected
from app.groups import service as groups
from app.invitations import service
from app.invitations.service import MAX_LIFETIME, MAX_USES, Terms, link_of
from app.web.commit import view_commit
from app.web.forms import BaseForm, ButtonForm
from app.web.redirects import with_query
from app.web.respond import flash_message, respond

PAGE = "admin/invitations.html"
HERE = "/admin/invitations"
SHOWN = 50

_NUMBER = re.compile(r"[0-9]{1,6}\Z", re.ASCII)


@bp.get("/invitations")
def invitations() -> Response:
    """List invitations, newest first: those that can still be accepted, or all of them with ``state=all``."""
    return _page(InvitationForm())


@bp.post("/invitations")
def create_invitation() -> Response:
    """Create an invitation, and email it if it has a recipient. Otherwise only this response contains its link."""
    after_this_request(view_commit)
    form = InvitationForm()
    if form.validate():
        with form.collecting_errors():
            made = service.create(_terms(form), by=actor())
            record_action("invitation_created", invitation=made.id, mailed=bool(made.email), groups=made.group_names)
            if made.email:
                flash_message("invitation_created", email=made.email)
                return respond(go=HERE, invitation=invitation_facts(made))
            return _page(InvitationForm(blank=True), made=link_of(made), invitation=invitation_facts(made))
    return _show_errors(form)


@bp.post("/invitations/<invitation_id>/revoke")
def revoke_invitation(invitation_id: str) -> Response:
    """Revoke an invitation. Does nothing if it was already revoked."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        found = service.find(invitation_id) if is_row_id(invitation_id) else None
        if found is None:
            raise Rejected("not_found", status=404)
        revoked = service.revoke(found, by=actor())
        if revoked:
            record_action("invitation_revoked", invitation=found.id)
        flash_message("invitation_was_revoked")
        return respond(go=HERE, revoked=revoked)
    return respond("errors/form.html", form)


def _terms(form: InvitationForm) -> Terms:
    """Return the form's values, with numbers parsed.

    :raises Rejected: ``invitation_uses`` on ``uses``, ``invitation_lasts`` on ``expires_in_days``
    """
    uses, days = (
        str(form.uses.data or "1").strip(),
        str(form.expires_in_days.data or service.DEFAULT_LIFETIME.days).strip(),
    )
    if not _NUMBER.match(uses):
        raise Rejected("invitation_uses", field="uses", most=MAX_USES)
    if not _NUMBER.match(days):
        raise Rejected("invitation_lasts", field="expires_in_days", most=MAX_LIFETIME.days)
    email, language = str(form.email.data or "").strip(), str(form.language.data or "")
    return Terms(email, tuple(form.groups.data or ()), int(uses), timedelta(days=int(days)), language)


def _show_errors(form: BaseForm) -> Response:
    """Show a form's errors on its page."""
    if answers_without_page():
        return respond("errors/form.html", form)
    return _page(form)


def _page(form: BaseForm, made: str = "", **facts: Any) -> Response:
    everything, after = request.args.get("state") == "all", request.args.get("after", "")
    if after and not is_row_id(after):
        raise Rejected("api_error", field="after")
    found = service.newest(SHOWN + 1, before=after, only_open=not everything)
    following = found[SHOWN - 1].id if len(found) > SHOWN else None
    where = {"state": "all"} if everything else {}
    context = page_facts() | {
        "groups": groups.titles(),
        "following": with_query(HERE, **where, after=following) if following else None,
        "everything": everything,
        "first": not after,
        "most_uses": MAX_USES,
        "longest": MAX_LIFETIME.days,
    }
    facts |= {"link": made} if made else {}
    listed = [invitation_facts(row) for row in found[:SHOWN]]
    return respond(PAGE, form, context=context, invitations=listed, after=following, **facts)
