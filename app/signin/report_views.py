"""/not-me: the report link in an email."""

from __future__ import annotations

from flask import Response, after_this_request

from app.errors import Rejected
from app.signin import bp, reports
from app.signin.forms import NotMeForm
from app.web.commit import view_commit
from app.web.respond import respond

PAGE = "signin/not_me.html"


@bp.get("/not-me/<token>")
def not_me_page(token: str) -> Response:
    """Show what was asked for, and a button that ends it; change nothing, whoever looks."""
    told = reports.look(token)
    return _quiet(respond(PAGE, NotMeForm(), shown=_page(token, told), state=_state(told)))


@bp.post("/not-me/<token>")
def not_me(token: str) -> Response:
    """End it. Signs nobody in, and works in any browser."""
    after_this_request(view_commit)
    form = NotMeForm()
    if form.validate() and form.sure.data:
        told = reports.deny(token)
    else:
        told = reports.look(token, strictly=False)
        if not form.faults():
            form.refuse(Rejected("denial_unsure", field="sure"))
    return _quiet(respond(PAGE, form, shown=_page(token, told), state=_state(told)))


def _page(token: str, told: reports.Told) -> dict[str, object]:
    return {"token": token, "asked": told.asked, "taken_back": told.taken_back}


def _state(told: reports.Told) -> str:
    return "denied" if told.denied else "asked"


def _quiet(response: Response) -> Response:
    """Keep the token out of referrers (ASVS 14.2.1)."""
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
