"""/change-email/undo: the undo link in the email to an old address."""

from __future__ import annotations

from flask import Response, after_this_request

from app.errors import Rejected
from app.identities import bp, rollback
from app.identities.forms import UndoForm
from app.web.commit import view_commit
from app.web.respond import respond

PAGE = "identities/undo.html"


@bp.get("/change-email/undo/<token>")
def undo_page(token: str) -> Response:
    """Show who changed it, and a button that undoes it; change nothing, whoever looks."""
    told = rollback.look(token)
    return _quiet(respond(PAGE, UndoForm(), shown={"token": token, "asked": told.asked}, state=_state(told)))


@bp.post("/change-email/undo/<token>")
def undo(token: str) -> Response:
    """Undo it. Signs nobody in, and works in any browser."""
    after_this_request(view_commit)
    form = UndoForm()
    told = None
    if form.validate() and form.sure.data:
        with form.showing_refusals():
            told = rollback.undo(token)
    elif not form.faults():
        form.refuse(Rejected("denial_unsure", field="sure"))
    told = told or rollback.look(token, strictly=False)
    return _quiet(respond(PAGE, form, shown={"token": token, "asked": told.asked}, state=_state(told)))


def _state(told: rollback.Told) -> str:
    return "undone" if told.undone else "asked"


def _quiet(response: Response) -> Response:
    """Keep the token out of referrers (ASVS 14.2.1)."""
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
