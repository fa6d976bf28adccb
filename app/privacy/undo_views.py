"""/my-data/undo: the link that cancels a deletion."""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request

from app.errors import Rejected
from app.privacy import bp, deletion
from app.privacy.forms import KeepForm
from app.web.client import present_client
from app.web.commit import view_commit
from app.web.respond import respond

PAGE = "privacy/undo.html"


@bp.get("/my-data/undo/<token>")
def undo_page(token: str) -> Response:
    """Show when the account would be erased, and a button that keeps it; change nothing, whoever looks."""
    return _quiet(token, KeepForm(), deletion.look(token))


@bp.post("/my-data/undo/<token>")
def undo(token: str) -> Response:
    """Keep the account. Signs nobody in, and works in any browser."""
    after_this_request(view_commit)
    form = KeepForm()
    if form.validate() and form.sure.data:
        told = deletion.cancel_deletion(token, present_client())
    else:
        try:
            told = deletion.look(token)
        except Rejected:
            if not form.faults():
                raise
            return respond("errors/form.html", form)
        if not form.faults():
            form.refuse(Rejected("undo_unsure", field="sure"))
    return _quiet(token, form, told)


def _quiet(token: str, form: KeepForm, told: deletion.Told) -> Response:
    """Answer, and keep the token out of referrers (ASVS 14.2.1)."""
    facts: dict[str, Any] = {
        "state": "kept" if told.kept else "closed",
        "deletes_at": None if told.kept else told.deletes_at,
    }
    answer = respond(PAGE, form, shown={"token": token}, **facts)
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer
