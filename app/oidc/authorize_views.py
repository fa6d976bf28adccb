"""/oauth/authorize and the interaction steps that follow it, and /oauth/par before it (RFC 9126).

A request is answered immediately if there is nothing left to do. Otherwise it is stored, and every step (sign in,
confirm, choose an account, consent) leads back to ``/oauth/continue``.
"""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request, g, redirect, request
from werkzeug.datastructures import MultiDict

from app import clock, i18n, throttling
from app.audit import record
from app.extensions import settings
from app.login.presenters import label_of
from app.oidc import bp, client_documents, consents, dpop, grants, requests
from app.oidc.authorization import (
    Authorization,
    AuthorizationError,
    PageError,
    read_authorization,
    response_url,
    thumbprint_of,
)
from app.oidc.client_auth import authenticate, limit_public, named_client
from app.oidc.document_pages import page_until_read
from app.oidc.errors import json_response
from app.oidc.forms import ConsentForm
from app.oidc.interaction import ERRORS, Situation, Step, next_step, scopes_to_allow
from app.oidc.models import AuthorizationRequest
from app.oidc.parameters import form_fields, form_parameters, query_parameters
from app.oidc.presenters import consent_facts
from app.oidc.requests import claim_pushed, is_pushed
from app.sessions.store import current_session, revoke_current_session
from app.users import identities_of
from app.web.client import present_client
from app.web.commit import view_commit
from app.web.cookies import set_cookie
from app.web.errors import error_answer
from app.web.messages import message
from app.web.redirects import with_query
from app.web.respond import redirect_to_app, respond

CONTINUE = "/oauth/continue"
DENIED = ("access_denied", "The person has refused.")


@bp.get("/oauth/authorize")
def authorize() -> Response:
    """Handle an app's authorization request."""
    after_this_request(view_commit)
    if request.method == "HEAD":
        return Response()
    row, parameters = None, query_parameters()
    if is_pushed(parameters):
        row = claim_pushed(parameters)
        if row is None:
            return request_error_page("oauth_request_over")
        parameters = requests.parameters_of(row)
    return _respond_to(parameters, row)


@bp.post("/oauth/authorize")
def authorize_by_form() -> Response:
    """Store an authorization request that was POSTed, and redirect so that the browser comes back with its cookies.

    A cross-site form POST doesn't carry our cookies, so nothing is decided here, no session is looked up, and no CSRF
    token is needed. The request is validated when the browser comes back.
    """
    after_this_request(view_commit)
    parameters = form_parameters()
    if is_pushed(parameters):
        query = {name: parameters[name] for name in ("client_id", "request_uri") if name in parameters}
        return redirect(with_query("/oauth/authorize", **query), 303)  # type: ignore[return-value]
    throttling.take("requests", present_client().ip_address)
    row = requests.store(parameters)
    return redirect(with_query(CONTINUE, request=row.id), 303)  # type: ignore[return-value]


@bp.get("/oauth/continue")
def continue_request() -> Response:
    """Continue a stored request after an interaction step or a form."""
    after_this_request(view_commit)
    if request.method == "HEAD":
        return Response()
    request_id = request.args.get("request", "")
    row = requests.find(request_id)
    return _repeat_response(request_id) if row is None else _respond_to(requests.parameters_of(row), row)


@bp.post("/oauth/consent")
def consent() -> Response:
    """Record whether the user consents to the app's request."""
    after_this_request(view_commit)
    form = ConsentForm()
    if not form.validate():
        return respond("errors/form.html", form)
    session, row = current_session(), requests.find(form.request.data)
    if row is None or session is None:
        return _repeat_response(form.request.data, allows=form.allow.data == "yes")
    try:
        authorization = read_authorization(requests.parameters_of(row))
        situation = _situation(authorization, row)
        if next_step(authorization, situation) != "consent":  # signed out or removed from the group in the meantime
            return _take_next_step(authorization, row)
        if form.allow.data != "yes":
            record("app.refused", session.user_id, client=authorization.client.id, app=authorization.client.name)
            requests.record_refusal(row, session)
            raise authorization.error(*DENIED)
        scopes = scopes_to_allow(authorization)
        if not authorization.client.is_vetted and not requests.has_shown_scopes(row, scopes):
            return _take_next_step(authorization, row)  # the app changed its registration after the page was shown
        assert situation is not None
        consents.allow_more(session.user_id, authorization.client, scopes, situation.relation)
        record(
            "app.allowed",
            session.user_id,
            client=authorization.client.id,
            app=authorization.client.name,
            scopes=" ".join(scopes),
        )
        requests.complete_prompt(row, "consent")
        requests.record_consent(row)
        return _take_next_step(read_authorization(requests.parameters_of(row)), row)
    except PageError as error:
        return request_error_page(error.code)
    except AuthorizationError as error:
        return _return_error(error, row)


@bp.post("/oauth/account")
def choose_account() -> Response:
    """Continue with the signed-in account, or sign out to use another one."""
    after_this_request(view_commit)
    form = ConsentForm()
    if not form.validate():
        return respond("errors/form.html", form)
    row = requests.find(form.request.data)
    if row is None:
        return request_error_page("oauth_request_over")
    requests.complete_prompt(row, "select_account")
    if form.allow.data != "yes" and (session := revoke_current_session()) is not None:
        record("session.ended", session.user_id, reason="signed_out")
    return redirect(with_query(CONTINUE, request=row.id), 303)  # type: ignore[return-value]


def request_error_page(code: str, status: int = 400) -> Response:
    """Return the error page for a request that can't be answered by redirect."""
    return error_answer(status, message(code))


def _respond_to(parameters: MultiDict[str, str], row: AuthorizationRequest | None) -> Response:
    """Handle a request, stored or new."""
    try:
        return page_until_read(parameters, row, CONTINUE) or _take_next_step(read_authorization(parameters), row)
    except PageError as error:
        return request_error_page(error.code)
    except AuthorizationError as error:
        return _return_error(error, row)


def _repeat_response(request_id: str, *, allows: bool = True) -> Response:
    """Repeat the response that this session just got, if the decision is the same: a double click.

    Without JavaScript, a browser submits a form every time its button is clicked, and only shows the last response.
    """
    session, row = current_session(), requests.find(request_id, answered=True)
    if session is None or row is None:
        return request_error_page("oauth_request_over")
    try:
        authorization = read_authorization(requests.parameters_of(row))
    except (PageError, AuthorizationError):
        return request_error_page("oauth_request_over")
    if not allows and requests.has_refused(row, session):
        return redirect_to_app(authorization.error(*DENIED).url, after_form=True)
    code = grants.repeated_code(row.id, session) if allows else None
    if code is None:
        return request_error_page("oauth_request_over")
    return redirect_to_app(response_url(authorization.redirect_uri, authorization.state, code=code), after_form=True)


def _return_error(error: AuthorizationError, row: AuthorizationRequest | None) -> Response:
    if row is not None:
        requests.mark_answered(row)
    return redirect_to_app(error.url, after_form=row is not None)


def _situation(authorization: Authorization, row: AuthorizationRequest | None) -> Situation | None:
    """Return the user's situation; None without a browser session."""
    session = current_session()
    if session is None or session.kind != "browser":
        return None
    relation = consents.relation_of(session.user_id, authorization.client.id, session.session_id)
    if row is None:
        return Situation(session, relation, clock.now())
    return Situation(session, relation, row.created_at, requests.has_consent(row))


def _take_next_step(authorization: Authorization, row: AuthorizationRequest | None) -> Response:
    """Take the next step: answer the app, or show the user a page."""
    situation = _situation(authorization, row)
    step = next_step(authorization, situation)
    if step == "answer":
        assert situation is not None
        return _issue_code(authorization, situation, row)
    if authorization.is_silent:
        raise authorization.error(*ERRORS[step])
    _require_pushed(authorization, row)
    if row is None:
        throttling.take("requests", present_client().ip_address)
        row = requests.store(query_parameters())
    return _show_step(step, authorization, row, situation)


def _require_pushed(authorization: Authorization, row: AuthorizationRequest | None) -> None:
    """Reject a request that wasn't pushed, if its client has to push them (RFC 9126, section 5)."""
    if authorization.client.require_pushed and not (row is not None and row.pushed):
        raise authorization.error("invalid_request", "This client has to push its requests.")


def _issue_code(authorization: Authorization, situation: Situation, row: AuthorizationRequest | None) -> Response:
    _require_pushed(authorization, row)
    if row is not None and not requests.mark_answered(row):
        return _repeat_response(row.id)
    code = grants.issue_code(
        authorization, authorization.scopes, situation.session, request_id=row.id if row is not None else ""
    )
    if not situation.relation.has_signed_in:
        record(
            "app.signed_in", situation.session.user_id, client=authorization.client.id, app=authorization.client.name
        )
    return redirect_to_app(
        response_url(authorization.redirect_uri, authorization.state, code=code), after_form=row is not None
    )


def _show_step(
    step: Step, authorization: Authorization, row: AuthorizationRequest, situation: Situation | None
) -> Response:
    """Show the page for a step, or redirect to the page that handles it."""
    back = with_query(CONTINUE, request=row.id)
    if step == "sign_in":
        return _sign_in(authorization, back)
    if step == "confirm":
        return redirect(with_query("/us-verify", next=back))  # type: ignore[return-value]
    assert situation is not None
    scopes = scopes_to_allow(authorization)
    facts: dict[str, Any] = consent_facts(authorization, situation.relation, scopes)
    facts |= {"user_label": label_of(identities_of(situation.session.user_id)), "back": back, "request_id": row.id}
    if step == "not_allowed":
        record(
            "app.not_allowed", situation.session.user_id, client=authorization.client.id, app=authorization.client.name
        )
        requests.mark_answered(row)
        throttling.take("requests", present_client().ip_address)
        again = requests.store(requests.parameters_of(row), pushed=row.pushed)  # to continue with another account
        again.begun_at = row.begun_at
        form = {"action": "/oauth/account", "field": "request", "value": again.id}
        facts |= {"account_form": form, "back": with_query(CONTINUE, request=again.id)}
        return _page("oidc/not_allowed.html", facts, 403)
    if step == "second_factor":
        return _page("second_factor.html", facts)
    if step == "choose_account":
        return _page("oidc/account.html", facts | {"is_other": bool(authorization.subject)})
    if not authorization.client.is_vetted:
        requests.record_shown_scopes(row, scopes)
    return _page("oidc/consent.html", facts)


def _sign_in(authorization: Authorization, back: str) -> Response:
    """Redirect to the sign-in page, in the language that the app requests if we have it."""
    hint = {"login_hint": authorization.login_hint} if authorization.login_hint else {}
    answer: Response = redirect(with_query("/us-signin", next=back, **hint))  # type: ignore[assignment]
    if language := i18n.first_offered(authorization.ui_locales):
        set_cookie(answer, i18n.ASKED, language, int(requests.LIFETIME.total_seconds()))
    elif settings.cookie_prefix + i18n.ASKED in request.cookies:
        set_cookie(answer, i18n.ASKED, "", 0)  # set for another app
    return answer


@bp.post("/oauth/par")
def push() -> Response:
    """Validate an authorization request and store it for a minute (RFC 9126, section 2)."""
    after_this_request(view_commit)
    fields = form_fields()
    client_documents.require_ready(named_client(fields), g.client_address)
    client = authenticate(fields)
    limit_public(client)
    request_uri = requests.push(form_parameters(), client, dpop.requested_key(thumbprint_of(fields)))
    return json_response({"request_uri": request_uri, "expires_in": int(requests.PUSHED_LIFETIME.total_seconds())}, 201)


def _page(template: str, facts: dict[str, Any], status: int = 200) -> Response:
    answer = respond(template, context=facts)
    answer.status_code = status
    return answer
