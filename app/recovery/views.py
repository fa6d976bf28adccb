"""/recover: regain an account with its mailbox alone."""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request, request
from flask_login import current_user

from app import user_agents
from app.authenticators.presenters import sent_code_context, sent_code_facts, titles
from app.challenges.service import latest_in_browser
from app.errors import Rejected
from app.extensions import settings
from app.login.pending import PendingState
from app.login.presenters import second_step, user_facts
from app.recovery import bp, requests
from app.recovery import service as recovery_service
from app.recovery.forms import CancelForm, IdentityForm, MailboxForm, ProofForm, StopForm
from app.recovery.models import Recovery
from app.recovery.service import RecoveryStatus
from app.web import open_request
from app.web.access import anonymous_only, login_required
from app.web.client import client_context, present_client, sending_client
from app.web.commit import view_commit
from app.web.cookies import browser_secret
from app.web.headers import no_referrer
from app.web.open_request import OpenRequest
from app.web.respond import flash_message, respond, support_id, wants_json

PAGE = "recovery/recover.html"
CANCEL_PAGE = "recovery/cancel.html"
SET_UP = "/us-setup"
HOME = "/recover"


@bp.get("/recover")
def recover_page() -> Response:
    """Ask for the account to recover; for signed-in API clients, return their account's open recovery."""
    recovery_service.require_enabled()
    if current_user.is_authenticated:
        if not wants_json():
            return respond(go="/")
        return respond(recovery=open_recovery())
    browser_secret()
    if not wants_json() and "new" in request.args:
        return open_request.clear(respond(PAGE, IdentityForm(), context={"state": "who"}))
    return respond(PAGE, IdentityForm(), context=None if wants_json() else _open_request_context() or {"state": "who"})


@bp.post("/recover")
@anonymous_only
def recover() -> Response:
    """Send a code to the mailbox of the given account, if it exists."""
    after_this_request(view_commit)
    recovery_service.require_enabled()
    form = IdentityForm()
    if form.validate():
        with form.collecting_errors():
            challenge = recovery_service.send_code(form.identity.data, sending_client())
            facts: dict[str, Any] = sent_code_facts(sent_code_context(challenge, form.identity.data)) | {
                "support_id": support_id()
            }
            answer = respond(PAGE, form, see_other=HOME, state="code", **facts)
            saved = OpenRequest(recovery_service.PURPOSE, challenge.id, form.identity.data, support_id=support_id())
            lasts = challenge.passcode_expires_at - challenge.created_at
            return answer if wants_json() else open_request.save(answer, saved, lasts)
    return respond(PAGE, form, context={"state": "who"})


@bp.post("/recover/prove")
@anonymous_only
def recover_prove() -> Response:
    """Verify the code and show the recovery status."""
    after_this_request(view_commit)
    recovery_service.require_enabled()
    form = MailboxForm()
    if form.validate():
        with form.collecting_errors():
            status = recovery_service.verify_mailbox(
                form.identity.data, form.passcode.data, client_context(form.challenge.data)
            )
            return _status_page(form, status)
    sent_code = None if wants_json() else _sent_code_context()
    return respond(
        PAGE, form, context={"state": "code", "sent": sent_code, "identity": form.identity.data, "code": form}
    )


@bp.post("/recover/start")
@anonymous_only
def recover_start() -> Response:
    """Start the wait. Every channel of the account is notified."""
    after_this_request(view_commit)
    recovery_service.require_enabled()
    form = ProofForm()
    if form.validate():
        with form.collecting_errors():
            status = recovery_service.start(form.proof.data, client_context())
            return _status_page(form, status)
    return respond(PAGE, form, context={"state": "refused"})


@bp.post("/recover/complete")
@anonymous_only
def recover_complete() -> Response:
    """Complete the recovery: sign out everywhere else, and continue with setting up sign-in methods."""
    after_this_request(view_commit)
    recovery_service.require_enabled()
    form = ProofForm()
    if form.validate():
        with form.collecting_errors():
            result = recovery_service.complete(form.proof.data, form.lost.data or [], client_context())
            if isinstance(result, PendingState):
                return respond(**second_step(result))
            flash_message("recovery_done")
            return open_request.clear(respond(go=SET_UP, user=user_facts(current_user, result), tf_required=False))
    return respond(PAGE, form, context={"state": "refused"})


@bp.post("/recover/stop")
@login_required
def recover_stop() -> Response:
    """Cancel the recovery of the signed-in account. Needs no reauthentication, because the account doesn't change."""
    after_this_request(view_commit)
    form = StopForm()
    if form.validate():
        with form.collecting_errors():
            recovery = requests.open_of(current_user.id)
            cancelled = recovery is not None and recovery_service.cancel(recovery, "session")
            flash_message("recovery_cancelled" if cancelled else "recovery_none")
            return respond(go="/", cancelled=cancelled)
    return respond("errors/form.html", form)


@bp.get("/recover/cancel/<token>")
def recover_cancel_page(token: str) -> Response:
    """Show the recovery that the email is about, and a button that cancels it. Changes nothing."""
    recovery = _recovery_of(token)
    return no_referrer(respond(CANCEL_PAGE, CancelForm(), context={"token": token}, **_cancel_facts(recovery)))


@bp.post("/recover/cancel/<token>")
def recover_cancel(token: str) -> Response:
    """Cancel the recovery. Works in any browser, and doesn't sign anyone in."""
    after_this_request(view_commit)
    form = CancelForm()
    recovery = None
    if form.validate():
        recovery = _recovery_of(token)
        with form.collecting_errors():
            if not form.sure.data:
                raise Rejected("denial_unsure", field="sure")
            recovery_service.cancel(recovery, "link")
            recovery = _recovery_of(token)
            return no_referrer(respond(CANCEL_PAGE, form, context={"token": token}, **_cancel_facts(recovery)))
    shown = _cancel_facts(recovery) if recovery else {"state": "open", "recovery": None}
    return no_referrer(respond(CANCEL_PAGE, form, context={"token": token} | shown))


def _status_page(form: MailboxForm | ProofForm, status: recovery_service.RecoveryStatus) -> Response:
    """Return the recovery status. Browsers can reopen the page until the proof expires."""
    facts = status_facts(status)
    answer = respond(PAGE, form, see_other=HOME, **facts)
    saved = OpenRequest(recovery_service.PURPOSE, "", "", proof=status.proof)
    return answer if wants_json() else open_request.save(answer, saved, requests.PROOF_LIFETIME)


def _open_request_context() -> dict[str, Any] | None:
    """Return the page's context for this browser's open request: the code's recipient, or the recovery status."""
    saved = open_request.load(recovery_service.PURPOSE)
    if saved is None:
        return None
    if saved.proof:
        status = recovery_service.status_of_proof(saved.proof)
        return _page_context() | status_facts(status) | {"has_second": status.has_second} if status else None
    sent_code = _sent_code_context()
    if sent_code is None:
        return None
    more = {"identity": saved.identity, "code": MailboxForm(), "support_id": saved.support_id}
    return {"state": "code", "sent": sent_code} | more


def _sent_code_context() -> dict[str, Any] | None:
    """Return the context for the last code requested here; None without one. One statement."""
    saved = open_request.load(recovery_service.PURPOSE)
    found = latest_in_browser(present_client(), recovery_service.PURPOSE) if saved else None
    if saved is None or found is None or found.id != saved.challenge_id:
        return None
    return sent_code_context(found, saved.identity)


def _page_context() -> dict[str, Any]:
    """Return the context of the pages besides the recovery status."""
    wait = settings.recovery_wait
    return {
        "titles": titles(),
        "wait_hours": round(wait.total_seconds() / 3600),
        "reminds": requests.gets_reminder(wait),
    }


def _recovery_of(token: str) -> Recovery:
    """Return the recovery that ``token`` cancels.

    :raises Rejected: ``denial_invalid`` (404) if the token isn't ours
    """
    recovery_id = requests.read_cancel(token)
    recovery = requests.find(recovery_id) if recovery_id else None
    if recovery is None:
        raise Rejected("denial_invalid", status=404)
    return recovery


def _cancel_facts(recovery: Recovery) -> dict[str, Any]:
    return {"state": requests.state_of(recovery), "recovery": recovery_facts(recovery)}


def open_recovery() -> dict[str, Any] | None:
    """Return the open recovery of the signed-in account, for every account page. One statement."""
    if not current_user.is_authenticated:
        return None
    recovery = requests.open_of(current_user.id)
    return recovery_facts(recovery) if recovery is not None else None


def recovery_facts(recovery: Recovery) -> dict[str, Any]:
    """Return a recovery as pages and JSON show it."""
    return {
        "requested_at": recovery.requested_at,
        "ready_at": recovery.ready_at,
        "expires_at": recovery.expires_at,
        "browser": user_agents.label(recovery.agent),
        "address": recovery.address,
    }


def status_facts(status: RecoveryStatus) -> dict[str, Any]:
    """Return a recovery status as pages and JSON show it."""
    return {
        "state": status.state,
        "proof": status.proof,
        "methods": status.methods,
        "recovery_codes_left": status.codes_left,
        "recovery": recovery_facts(status.recovery) if status.recovery else None,
    }
