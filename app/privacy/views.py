"""/my-data: export personal data, delete the account, or keep it with the link that cancels a deletion."""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request, request, stream_with_context
from flask_login import current_user

from app import clock
from app.audit import record
from app.errors import ReauthenticationRequired, Rejected
from app.extensions import settings
from app.i18n import date_text
from app.login.freshness import require_fresh
from app.login.presenters import label_of, needed_for_changes
from app.privacy import bp, deletion, export_requests
from app.privacy.emails import mailboxes_of, phones_of
from app.privacy.forms import ButtonForm, DeleteForm, KeepForm
from app.privacy.models import GONE, UNDER_WAY, Export
from app.sessions.store import current_session, revoke_current_session
from app.users import identities_of
from app.web.access import login_required
from app.web.client import present_client
from app.web.commit import view_commit
from app.web.headers import clear_site, no_referrer
from app.web.respond import flash_message, respond, wants_json

PAGE = "privacy/mydata.html"
UNDO_PAGE = "privacy/undo.html"


@bp.get("/my-data")
@login_required
def my_data_page() -> Response:
    """List the exports. Needs no reauthentication, because it doesn't show their contents."""
    return respond(PAGE, context=_page_context(), **_facts())


@bp.post("/my-data/export")
@login_required
def ask_for_export() -> Response:
    """Request an export."""
    after_this_request(view_commit)
    _require_fresh()
    form = ButtonForm()
    if form.validate():
        with form.collecting_errors():
            export = export_requests.request_export(current_user)
            flash_message("export_requested")
            return respond(go="/my-data", export=_export_facts(export))
    return respond(PAGE, form, context=_page_context() | _facts())


@bp.get("/my-data/export/<export_id>")
@login_required
def fetch_export(export_id: str) -> Response:
    """Download an archive: only the owner can, and only after a recent reauthentication."""
    _require_fresh()
    export, pieces = export_requests.fetch(current_user, export_id)
    if request.method != "HEAD":
        record("export.fetched", current_user.id, autocommit=True)
    answer = Response(stream_with_context(pieces), mimetype="application/zip")
    answer.content_length = export.size
    name = f"my-data-{export.asked_at:%Y-%m-%d}.zip"
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


@bp.post("/my-data/delete")
@login_required
def delete_account() -> Response:
    """Close the account, to be erased after a waiting period, and sign out everywhere, including here."""
    after_this_request(view_commit)
    _require_fresh()
    form = DeleteForm()
    if form.validate() and form.sure.data:
        with form.collecting_errors():
            deletes_at = deletion.schedule_deletion(current_user, current_session())
            revoke_current_session()
            flash_message("deletion_requested", day=date_text(deletes_at))
            return clear_site(respond(go=settings.post_logout_url, without_csrf=True, deletes_at=deletes_at))
    if not form.faults():
        form.add_error(Rejected("deletion_unsure", field="sure"))
    return respond(PAGE, form, context=_page_context() | _facts() | {"leaving": form})


def _require_fresh() -> None:
    """Require a recent reauthentication, after which browsers return to the page with the button."""
    try:
        require_fresh(current_session())
    except ReauthenticationRequired as missing:
        missing.back = "/my-data"
        raise


def _facts() -> dict[str, Any]:
    known = export_requests.exports_of(current_user.id)
    return {
        "exports": [_export_facts(export) for export in known if export.state != GONE],
        "next_export_in": export_requests.seconds_until_next(known, clock.now()),
        "delete_wait": int(settings.delete_wait.total_seconds()),
    }


def _page_context() -> dict[str, Any]:
    if wants_json():
        return {}
    addresses = mailboxes_of(current_user.id) or phones_of(current_user.id)
    label = label_of(identities_of(current_user.id))
    return {"user_label": label, "under_way": UNDER_WAY, "told": addresses, "leaving": DeleteForm(),
            "needed": needed_for_changes(current_session())}  # fmt: skip


def _export_facts(export: Export) -> dict[str, Any]:
    over = export.expires_at is not None and not export.can_be_fetched(clock.now())
    return {
        "id": export.id,
        "state": GONE if over else export.state,
        "asked_at": export.asked_at,
        "ready_at": export.ready_at,
        "expires_at": export.expires_at,
        "size": export.size,
    }


@bp.get("/my-data/undo/<token>")
def undo_page(token: str) -> Response:
    """Show when the account would be erased, and a button that keeps it. Changes nothing."""
    return _undo_page(token, KeepForm(), deletion.deletion_status(token))


@bp.post("/my-data/undo/<token>")
def undo(token: str) -> Response:
    """Keep the account. Works in any browser, and doesn't sign anyone in."""
    after_this_request(view_commit)
    form = KeepForm()
    if form.validate() and form.sure.data:
        status = deletion.cancel_deletion(token, present_client())
    else:
        try:
            status = deletion.deletion_status(token)
        except Rejected:
            if not form.faults():
                raise
            return respond("errors/form.html", form)
        if not form.faults():
            form.add_error(Rejected("undo_unsure", field="sure"))
    return _undo_page(token, form, status)


def _undo_page(token: str, form: KeepForm, status: deletion.DeletionStatus) -> Response:
    """Show the account's status, and the button that keeps it."""
    facts: dict[str, Any] = {
        "state": "kept" if status.kept else "closed",
        "deletes_at": None if status.kept else status.deletes_at,
    }
    return no_referrer(respond(UNDO_PAGE, form, context={"token": token}, **facts))
