"""/mf-recovery-codes: create recovery codes, which are shown only once."""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request
from flask_login import current_user

from app.authenticators import recovery_codes
from app.login.freshness import require_fresh, require_recent
from app.login.presenters import label_of, needed_for_changes
from app.sessions.store import current_session
from app.setup import bp
from app.setup import recovery_codes as setup_recovery_codes
from app.setup.forms import CodesForm, DownloadCodesForm
from app.users import identities_of
from app.web.access import login_required
from app.web.client import client_context
from app.web.commit import view_commit
from app.web.respond import respond, wants_json

PAGE = "setup/recovery_codes.html"
FILE = "recovery-codes.txt"


@bp.get("/mf-recovery-codes")
@login_required
def mf_recovery_codes_page() -> Response:
    """Show how many codes are left, and when they were created. The codes themselves can't be shown again."""
    if wants_json():
        require_recent(current_session())
    return respond(PAGE, CodesForm(), context=_page(), **_facts([]))


@bp.post("/mf-recovery-codes")
@login_required
def mf_recovery_codes() -> Response:
    """Create new codes and show them, this once."""
    after_this_request(view_commit)
    session = current_session()
    require_fresh(session)
    form = CodesForm()
    if form.validate():
        with form.collecting_errors():
            assert session is not None  # guaranteed by login_required
            made = setup_recovery_codes.create(current_user, session, client_context())
            return respond(PAGE, form, context=_page(), **_facts(made))
    return respond(PAGE, form, context=_page() | _facts([]))


@bp.post("/mf-recovery-codes/file")
@login_required
def mf_recovery_codes_file() -> Response:
    """Return the codes that the page has just shown as a file. Works without scripts, and stores nothing."""
    after_this_request(view_commit)
    form = DownloadCodesForm()
    if form.validate():
        with form.collecting_errors():
            label = label_of(identities_of(current_user.id))
            text = setup_recovery_codes.as_text(form.recovery_codes.data or [], label)
            answer = Response(text, mimetype="text/plain")
            answer.headers["Content-Disposition"] = f'attachment; filename="{FILE}"'
            return answer
    return respond(PAGE, form, context=_page() | _facts([]))


def _facts(made: list[str]) -> dict[str, Any]:
    code_count = recovery_codes.count_of(current_user.id)
    return {"recovery_codes": made, "left": code_count.left, "made_at": code_count.made_at}


def _page() -> dict[str, Any]:
    if wants_json():
        return {}
    return {
        "needed": needed_for_changes(current_session()),
        "user_label": label_of(identities_of(current_user.id)),
        "count": recovery_codes.COUNT,
        "few": recovery_codes.LOW_COUNT,
    }
