"""/change-email: replace the primary address, verified by a code or link sent to the new one."""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request, redirect
from flask_login import current_user

from app.authenticators.presenters import requester_of, sent_code_facts
from app.challenges.models import Challenge
from app.errors import Rejected
from app.extensions import settings
from app.identities import bp, verification
from app.identities.forms import AddressForm, CodeForm
from app.identities.presenters import pending_facts, required_session, user_label
from app.login.freshness import require_fresh, require_recent
from app.login.presenters import needed_for_changes, user_facts
from app.sessions.store import current_session
from app.users import primary_email
from app.web.access import login_required
from app.web.client import clicking_client, client_context, present_client, sending_client
from app.web.commit import view_commit
from app.web.headers import no_referrer
from app.web.messages import message
from app.web.redirects import with_query
from app.web.respond import SET_UP, flash_message, respond, support_id, wants_json

PAGE = "identities/change_email.html"
HOME = "/change-email"
ELSEWHERE = "identities/link_elsewhere.html"


@bp.get("/change-email")
@login_required
def change_email_page() -> Response:
    """Show the address to replace, and the form for a pending code."""
    if wants_json():
        require_recent(current_session())
    form = AddressForm()
    return respond(PAGE, form, context=_page_context(form), **_facts())


@bp.post("/change-email")
@login_required
def change_email() -> Response:
    """Send a code and a link to the new address. The account keeps the old one until one of them is used."""
    after_this_request(view_commit)
    require_fresh(current_session())
    form = AddressForm()
    if form.validate():
        with form.collecting_errors():
            return start_verification(form, verification.CHANGE)
    return respond(PAGE, form, context=_page_context(form))


@bp.post("/change-email/confirm")
@login_required
def confirm_address() -> Response:
    """Verify the code of a new address, whether it is to replace the primary one or be added."""
    after_this_request(view_commit)
    form = CodeForm()
    if form.validate():
        with form.collecting_errors():
            done = verification.confirm_by_code(
                current_user, required_session(), form.passcode.data, client_context(form.challenge.data)
            )
            flash_message(_message_code(done), "success" if done.purpose == verification.CHANGE else SET_UP)
            return respond(go="/identities", **_facts())
    return respond(PAGE, form, context=_page_context(code=form))


@bp.get("/change-email/<token>")
def change_email_link(token: str) -> Response:
    """Verify the link of a new address, in the signed-in browser that requested it; elsewhere nothing is changed."""
    after_this_request(view_commit)
    if token == "confirm":  # noqa: S105 - the URL the page's form posts to, not a secret
        return redirect(HOME)  # type: ignore[return-value]
    session = current_session()
    try:
        challenge, here = verification.inspect_link(token, session, clicking_client())
        if not here or session is None:
            context = {"asked": requester_of(challenge), "address": None}
            return no_referrer(respond(ELSEWHERE, context=context, state="elsewhere"))
        verification.confirm_by_link(current_user, session, challenge, client_context())
    except Rejected as rejection:
        return no_referrer(_show_failure(rejection))
    return no_referrer(_changed(challenge))


def start_verification(form: AddressForm, purpose: str) -> Response:
    """Send a code and link to a new address, and show where to enter the code.

    :raises Rejected: as ``verification.request_verification``
    """
    challenge = verification.request_verification(
        current_user, required_session(), form.email.data, purpose, sending_client(form.challenge.data)
    )
    facts = (_facts() if wants_json() else {}) | sent_code_facts(pending_facts(challenge))
    return respond(PAGE, form, see_other=HOME, support_id=support_id(), **facts)


def _facts() -> dict[str, Any]:
    """Return the account's current address, for API clients."""
    return {"current_email": primary_email(current_user.id) or None, "user": user_facts(current_user)}


def _page_context(address: AddressForm | None = None, code: CodeForm | None = None) -> dict[str, Any]:
    """Return the page's context besides its form: the pending code, and both forms."""
    named = code.challenge.data if code and code.challenge.data else None
    found = verification.open_change(current_user, required_session(), present_client(named))
    return {
        "pending": pending_facts(found) if found is not None and found.spent_at is None else None,
        "address_form": address or AddressForm(),
        "code_form": code or CodeForm(),
        "user_label": user_label(),
    } | ({} if wants_json() else _facts() | {"needed": needed_for_changes(required_session())})


def _message_code(done: Challenge) -> str:
    return "change_email_confirmed" if done.purpose == verification.CHANGE else "address_added"


def _changed(done: Challenge) -> Response:
    target = settings.post_change_email_url or settings.post_login_url
    if settings.redirect_behavior == "spa":
        text, email = message(_message_code(done)), done.destination
        return redirect(with_query(target, success=text, identity=email, email=email))  # type: ignore[return-value]
    flash_message(_message_code(done))
    return redirect(target)  # type: ignore[return-value]


def _show_failure(rejection: Rejected) -> Response:
    target = settings.change_email_error_url or "/change-email"
    if settings.redirect_behavior == "spa":
        text = message(rejection.code, **rejection.facts)
        return redirect(with_query(target, error=text, error_code=rejection.code))  # type: ignore[return-value]
    flash_message(rejection.code, "error", **rejection.facts)
    return redirect(target)  # type: ignore[return-value]
