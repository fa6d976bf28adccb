"""/mf-recovery-codes: ten codes for a drawer, shown once."""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request
from flask_login import current_user, login_required

from app.methods import recovery_codes
from app.sessions.freshness import require_fresh, require_recent
from app.sessions.opening import brought_session
from app.sessions.showing import label_of, needed_for_changes
from app.setup import bp, recovery
from app.setup.forms import CodesForm, KeptCodesForm
from app.users import identities_of
from app.web.asker import asker
from app.web.commit import view_commit
from app.web.respond import respond, wants_json

PAGE = "setup/recovery_codes.html"
FILE = "recovery-codes.txt"


@bp.get("/mf-recovery-codes")
@login_required
def mf_recovery_codes_page() -> Response:
    """Tell how many codes are left, and since when; the codes themselves cannot be shown again."""
    if wants_json():
        require_recent(brought_session())
    return respond(PAGE, CodesForm(), shown=_page(), **_facts([]))


@bp.post("/mf-recovery-codes")
@login_required
def mf_recovery_codes() -> Response:
    """Make new codes and show them, this once."""
    after_this_request(view_commit)
    session = brought_session()
    require_fresh(session)
    form = CodesForm()
    if form.validate():
        with form.showing_refusals():
            assert session is not None  # login_required has seen to it
            made = recovery.make(current_user, session, asker())
            return respond(PAGE, form, shown=_page(), **_facts(made))
    return respond(PAGE, form, shown=_page() | _facts([]))


@bp.post("/mf-recovery-codes/file")
@login_required
def mf_recovery_codes_file() -> Response:
    """Give back as a file the codes that the page has just shown; works without a script, and stores nothing."""
    after_this_request(view_commit)
    form = KeptCodesForm()
    if form.validate():
        with form.showing_refusals():
            label = label_of(identities_of(current_user.id))
            text = recovery.as_text(form.recovery_codes.data or [], label)
            answer = Response(text, mimetype="text/plain")
            answer.headers["Content-Disposition"] = f'attachment; filename="{FILE}"'
            return answer
    return respond(PAGE, form, shown=_page() | _facts([]))


def _facts(made: list[str]) -> dict[str, Any]:
    stock = recovery_codes.stock_of(current_user.id)
    return {"recovery_codes": made, "left": stock.left, "made_at": stock.made_at}


def _page() -> dict[str, Any]:
    if wants_json():
        return {}
    return {
        "needed": needed_for_changes(brought_session()),
        "user_label": label_of(identities_of(current_user.id)),
        "count": recovery_codes.COUNT,
        "few": recovery_codes.FEW,
    }
