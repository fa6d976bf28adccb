"""/activity: the recent events of an account."""

from __future__ import annotations

from flask import Response, request
from flask_login import current_user

from app.account import bp
from app.account.activity import events_of
from app.authenticators.presenters import PROOFS
from app.login.presenters import label_of
from app.users import identities_of
from app.web.guards import login_required
from app.web.respond import respond, wants_json


@bp.get("/activity")
@login_required
def activity_page() -> Response:
    """Show a page of what happened, the newest first or what came before a place."""
    before = request.args.get("before")
    events, older = events_of(current_user.id, before)
    shown = {} if wants_json() else {"titles": PROOFS, "user_label": label_of(identities_of(current_user.id))}
    return respond("account/activity.html", shown=shown | {"first": before is None}, events=events, older=older)
