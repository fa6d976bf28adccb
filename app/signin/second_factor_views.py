"""/tf-validate, /tf-select, /mf-recovery and /tf-rescue: the second factor of a pending sign-in, or an alternative."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from flask import Response, after_this_request, redirect, request
from flask_login import current_user

from app import clock
from app.authenticators import enrollment_service, recovery_codes
from app.authenticators.presenters import app_key, sent_code_context, title_of
from app.challenges import service as challenges
from app.challenges.models import challenge_token_of
from app.client import ClientContext
from app.crypto import secrets
from app.enrollments.methods import method_of
from app.errors import Rejected
from app.extensions import settings
from app.i18n import span_text
from app.login import pending
from app.login import second_factor as factors
from app.login.pending import PendingState, StartedPending
from app.login.presenters import second_step, user_facts
from app.signin import bp, second_factor
from app.signin.forms import RecoveryCodeForm, RescueForm, SecondStepForm, SelectForm
from app.signin.presenters import remember_method
from app.users import identifiers
from app.web.access import anonymous_only
from app.web.client import present_client
from app.web.commit import view_commit
from app.web.forms import submitted
from app.web.messages import code_of
from app.web.redirects import next_or, safe_next, with_query
from app.web.respond import flash_message, respond, wants_json, wants_token

PAGE = "signin/second.html"
SELECT_PAGE = "signin/second_select.html"
RECOVERY_PAGE = "signin/recovery_code.html"
RESCUE_PAGE = "signin/rescue.html"
ENDED_CODES = {"two_factor_permission_denied", "two_factor_ended"}


@bp.get("/tf-validate")
def tf_validate_page() -> Response:
    """Show the form for the second factor's code, or describe the pending sign-in to an SPA. Signs no one out."""
    pending_sign_in = pending.current(present_client())
    if pending_sign_in is None:
        return no_pending_sign_in()
    step = second_step(PendingState(pending_sign_in.row))
    go = step.pop("go")
    if not wants_json() and urlsplit(go).path != request.path:
        return respond(go=_with_next(go))
    form = SecondStepForm()
    form.next.data, form.remember.data = safe_next(request.args.get("next")), pending_sign_in.row.remember
    return respond(
        PAGE,
        form,
        context=_page(pending_sign_in),
        recovery_options=second_factor.options(pending_sign_in),
        user={},
        **step,
    )


@bp.post("/tf-validate")
def tf_validate() -> Response:
    """Verify the second factor, and turn the pending sign-in into a session."""
    after_this_request(view_commit)
    form = SecondStepForm()
    client = second_factor_client(form.pending.data)
    if form.validate():
        with form.collecting_errors():
            session, pending_sign_in = second_factor.validate(form.code.data, client)
            flash_message("two_factor_login_successful")
            token = (
                second_factor.trust_client(pending_sign_in, client) if _is_to_be_trusted(form, pending_sign_in) else ""
            )
            facts: dict[str, Any] = {"tf_validity_token": token} if token else {}
            go = next_or(pending_sign_in.row.next or settings.post_login_url, form.next.data)
            user = user_facts(current_user, session, with_token=wants_token())
            return remember_method(respond(go=go, user=user, **facts), session)
    return _page_again(PAGE, form, client)


@bp.get("/tf-select")
def tf_select_page() -> Response:
    """Show the methods that are accepted as the second factor."""
    pending_sign_in = pending.current(present_client())
    if pending_sign_in is None or pending_sign_in.row.state == factors.SETUP:
        return no_pending_sign_in()
    form = SelectForm()
    form.next.data = safe_next(request.args.get("next"))
    return respond(
        SELECT_PAGE, form, context=_page(pending_sign_in), tf_select=True, tf_setup_methods=pending_sign_in.choices
    )


@bp.post("/tf-select")
def tf_select() -> Response:
    """Choose the method for the second factor, and send its code. Choosing it again resends the same code."""
    after_this_request(view_commit)
    form = SelectForm()
    client = second_factor_client(form.pending.data)
    if form.validate():
        with form.collecting_errors():
            facts = second_step(second_factor.select(form.which.data, client))
            return respond(**facts | {"go": _with_next(facts["go"], form.next.data)})
    return _page_again(SELECT_PAGE, form, client)


@bp.get("/mf-recovery")
@anonymous_only
def mf_recovery_page() -> Response:
    """Show the form for a recovery code."""
    pending_sign_in = pending.current(present_client())
    if pending_sign_in is None or pending_sign_in.row.state == factors.SETUP:
        return no_pending_sign_in()
    form = RecoveryCodeForm()
    form.next.data = safe_next(request.args.get("next"))
    return respond(RECOVERY_PAGE, form)


@bp.post("/mf-recovery")
@anonymous_only
def mf_recovery() -> Response:
    """Use up a recovery code as the second factor, and turn the pending sign-in into a session."""
    after_this_request(view_commit)
    form = RecoveryCodeForm()
    client = second_factor_client(form.pending.data)
    if form.validate():
        with form.collecting_errors():
            session, pending_sign_in = second_factor.use_recovery_code(form.code.data, client)
            flash_message("two_factor_login_successful")
            go = next_or(pending_sign_in.row.next or settings.post_login_url, form.next.data)
            return remember_method(respond(go=go, user=user_facts(current_user, session)), session)
    return _errors_page(RECOVERY_PAGE, form)


@bp.get("/tf-rescue")
@anonymous_only
def tf_rescue_page() -> Response:
    """Show the alternatives to the second factor."""
    pending_sign_in = pending.current(present_client())
    if pending_sign_in is None:
        return no_pending_sign_in()
    return respond(RESCUE_PAGE, RescueForm(), recovery_options=second_factor.options(pending_sign_in))


@bp.post("/tf-rescue")
@anonymous_only
def tf_rescue() -> Response:
    """Redirect to the recovery codes (API clients as well, as the API's contract requires), or ask for help."""
    after_this_request(view_commit)
    form = RescueForm()
    client = second_factor_client(form.pending.data)
    options: dict[str, str] = {}
    if form.validate():
        with form.collecting_errors():
            options = second_factor.options(pending.get(client))
            if form.help_setup.data == recovery_codes.METHOD:
                return redirect("/mf-recovery")  # type: ignore[return-value]
            if form.help_setup.data != "help":
                raise Rejected("invalid_choice", field="help_setup")
            second_factor.ask_for_help(client)
            return respond(RESCUE_PAGE, form, context={"asked": True}, recovery_options=options)
    return _errors_page(RESCUE_PAGE, form, recovery_options=options)


def _errors_page(page: str, form: RecoveryCodeForm | RescueForm, **shown: Any) -> Response:
    """Show the page again with its errors, or send the browser back if its pending sign-in has ended."""
    codes = {code_of(text) for _, text in form.faults()}
    if codes <= ENDED_CODES and not wants_json():
        return start_again(codes.pop(), form.next.data if isinstance(form, RecoveryCodeForm) else None)
    return respond(page, form, context=shown)


def second_factor_client(handle: str | None) -> ClientContext:
    """Return the client. An API client without cookies sends back the ``pending`` token that it was given."""
    client = present_client()
    return replace(client, pending_secret=secrets.digest(handle)) if handle and not client.pending_secret else client


def _is_to_be_trusted(form: SecondStepForm, pending_sign_in: StartedPending) -> bool:
    """Return whether to trust this browser: the checkbox of this form, or if it wasn't offered, that of the first step,
    which says that this is the user's own device."""
    offered = form.remember_shown.data or "remember" in (submitted() or ())
    return bool(form.remember.data if offered else pending_sign_in.row.remember)


def _page_again(page: str, form: SecondStepForm | SelectForm, client: ClientContext) -> Response:
    """Show the second factor's page again with its errors, or that the pending sign-in has ended."""
    pending_sign_in = None if wants_json() else pending.current(client)
    if wants_json() or pending_sign_in is not None:
        return respond(page, form, context=_page(pending_sign_in) if pending_sign_in else {})
    codes = {code_of(text) for _, text in form.faults()}
    if codes <= ENDED_CODES:
        return start_again(codes.pop(), form.next.data)
    return respond(PAGE, form, context={"over": True})


def no_pending_sign_in() -> Response:
    """Return the response without a pending sign-in. A signed-in user stays signed in."""
    if wants_json():
        raise Rejected("two_factor_permission_denied")
    return start_again("two_factor_permission_denied")


def start_again(why: str, field: str | None = None) -> Response:
    """Redirect the browser to the start of the sign-in, keeping the page to continue to.

    :param why: code of the message to show
    :param field: the form's ``next``
    """
    flash_message(why, "error")
    return redirect(_with_next("/login", field))  # type: ignore[return-value]


def _with_next(path: str, field: str | None = None) -> str:
    target = safe_next(field) or safe_next(request.args.get("next"))
    return with_query(path, next=target) if target and "?" not in path else path


def _page(pending_sign_in: StartedPending) -> dict[str, Any]:
    """Return the template context; empty for API clients."""
    if wants_json():
        return {}
    row = pending_sign_in.row
    sent_code = None
    if row.question_id and method_of(row.method).sends:
        challenge = challenges.find(row.question_id, factors.PURPOSE)
        sent_code = (
            sent_code_context(challenge, identifiers.mask(method_of(row.method).reaches, challenge.destination))
            if challenge
            else None
        )
    begun = None
    if row.state == factors.SETUP and row.question_id:
        begun = enrollment_service.find_pending(
            pending_sign_in.user, challenge_token_of(row.question_id), factors.SETUP_PURPOSE, row.id
        )
    return {
        "enrolling": app_key(begun.secret, begun.account) if begun else {},
        "method": row.method,
        "choices": [{"name": name, "title": title_of(name)} for name in pending_sign_in.choices],
        "sent": sent_code,
        "expires_in": int((row.expires_at - clock.now()).total_seconds()),
        "recovery": second_factor.options(pending_sign_in),
        "over": False,
        "trusted_for": span_text(settings.trust_for.total_seconds()) if settings.trust_for else "",
    }
