"""/oauth/authorize and the interaction steps that follow it, and /oauth/par before it (RFC 9126).

A request is answered immediately if there is nothing left to do. Otherwise it is stored, and every step (sign in,
confirm, choose an account, consent) leads back to ``/oauth/continue``.
"""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request, g, redirect, request

from app import clock, i18n, throttling
from app.audit import record
from app.extensions import settings
from app.login.presenters import label_of
from app.oidc import bp, client_documents, consents, dpop, grants, requests
from app.oidc.authorization import (
    Authorization,
    AuthorizationError,
    PageRefusal,
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
from app.oidc.parameters import form_fields, of_form, of_query
from app.oidc.presenters import consent_facts
from app.oidc.requests import claim_pushed, is_pushed
from app.sessions.store import current_session, revoke_current_session
from app.users import identities_of
from app.web.client import present_client
from app.web.commit import view_commit
from app.web.cookies import set_cookie
from app.web.errors import error_answer
from app.web.external_redirect import redirect_to_app
from app.web.messages import message
from app.web.redirects import with_query
from app.web.respond import respond

CONTINUE = "/oauth/continue"
DENIED = ("access_denied", "The person has refused.")


@bp.get("/oauth/authorize")
def authorize() -> Response:
    """Handle an app's authorization request."""
    after_this_request(view_commit)
    if request.method == "HEAD":
        return Response()
    row, given = None, of_query()
    if is_pushed(given):
        row = claim_pushed(given)
        if row is None:
            return refused("oauth_request_over")
    return _answer(row)


@bp.post("/oauth/authorize")
def authorize_by_form() -> Response:
    """Store an authorization request that was POSTed, and redirect so that the browser comes back with its cookies.

    A cross-site form POST doesn't carry our cookies, so nothing is decided here, no session is looked up, and no CSRF
    token is needed. The request is validated when the browser comes back.
    """
    after_this_request(view_commit)
    given = of_form()
    if is_pushed(given):
        named = {name: given[name] for name in ("client_id", "request_uri") if name in given}
        return redirect(with_query("/oauth/authorize", **named), 303)  # type: ignore[return-value]
    throttling.take("requests", present_client().ip_address)
    row = requests.store(given)
    return redirect(with_query(CONTINUE, request=row.id), 303)  # type: ignore[return-value]


@bp.get("/oauth/continue")
def continue_request() -> Response:
    """Continue a stored request after an interaction step or a form."""
    after_this_request(view_commit)
    if request.method == "HEAD":
        return Response()
    request_id = request.args.get("request", "")
    row = requests.find(request_id)
    return _answer_again(request_id) if row is None else _answer(row)


@bp.post("/oauth/consent")
def consent() -> Response:
    """Record whether the user consents to the app's request."""
    after_this_request(view_commit)
    form = ConsentForm()
    if not form.validate():
        return respond("errors/form.html", form)
    session, row = current_session(), requests.find(form.request.data)
    if row is None or session is None:
        return _answer_again(form.request.data, allows=form.allow.data == "yes")
    try:
        asked = read_authorization(requests.parameters_of(row))
        found = _situation(asked, row)
        if next_step(asked, found) != "consent":  # signed out or removed from the group in the meantime
            return _go_on(asked, row)
        if form.allow.data != "yes":
            record("app.refused", session.user_id, client=asked.client.id, app=asked.client.name)
            requests.note_refusal(row, session)
            raise asked.refusal(*DENIED)
        scopes = scopes_to_allow(asked)
        if not asked.client.is_vetted and not requests.has_shown(row, scopes):
            return _go_on(asked, row)  # the app changed its registration after the page was shown
        assert found is not None
        consents.allow_more(session.user_id, asked.client, scopes, found.relation)
        record("app.allowed", session.user_id, client=asked.client.id, app=asked.client.name, scopes=" ".join(scopes))
        requests.settle_prompt(row, "consent")
        requests.note_consent(row)
        return _go_on(read_authorization(requests.parameters_of(row)), row)
    except PageRefusal as refusal:
        return refused(refusal.code)
    except AuthorizationError as error:
        return _send_back(error, row)


@bp.post("/oauth/account")
def choose_account() -> Response:
    """Continue with the signed-in account, or sign out to use another one."""
    after_this_request(view_commit)
    form = ConsentForm()
    if not form.validate():
        return respond("errors/form.html", form)
    row = requests.find(form.request.data)
    if row is None:
        return refused("oauth_request_over")
    requests.settle_prompt(row, "select_account")
    if form.allow.data != "yes" and (session := revoke_current_session()) is not None:
        record("session.ended", session.user_id, reason="signed_out")
    return redirect(with_query(CONTINUE, request=row.id), 303)  # type: ignore[return-value]


def refused(code: str, status: int = 400) -> Response:
    """Return the error page for a request that can't be answered by redirect."""
    return error_answer(status, message(code))


def _answer(row: AuthorizationRequest | None) -> Response:
    """Handle a request, stored or new."""
    try:
        given = of_query() if row is None else requests.parameters_of(row)
        return page_until_read(given, row, CONTINUE) or _go_on(read_authorization(given), row)
    except PageRefusal as refusal:
        return refused(refusal.code)
    except AuthorizationError as error:
        return _send_back(error, row)


def _answer_again(request_id: str, *, allows: bool = True) -> Response:
    """Repeat the response that this session just got, if the decision is the same: a double click.

    Without JavaScript, a browser submits a form every time its button is clicked, and only shows the last response.
    """
    session, row = current_session(), requests.find(request_id, answered=True)
    if session is None or row is None:
        return refused("oauth_request_over")
    try:
        asked = read_authorization(requests.parameters_of(row))
    except (PageRefusal, AuthorizationError):
        return refused("oauth_request_over")
    if not allows and requests.has_refused(row, session):
        return redirect_to_app(asked.refusal(*DENIED).url, after_form=True)
    code = grants.code_again(row.id, session) if allows else None
    if code is None:
        return refused("oauth_request_over")
    return redirect_to_app(response_url(asked.redirect_uri, asked.state, code=code), after_form=True)


def _send_back(error: AuthorizationError, row: AuthorizationRequest | None) -> Response:
    if row is not None:
        requests.answer(row)
    return redirect_to_app(error.url, after_form=row is not None)


def _situation(asked: Authorization, row: AuthorizationRequest | None) -> Situation | None:
    """Return the user's situation; None without a browser session."""
    session = current_session()
    if session is None or session.kind != "browser":
        return None
    relation = consents.relation_of(session.user_id, asked.client.id, session.session_id)
    if row is None:
        return Situation(session, relation, clock.now())
    return Situation(session, relation, row.created_at, requests.has_consent(row))


def _go_on(asked: Authorization, row: AuthorizationRequest | None) -> Response:
    """Take the next step: answer the app, or show the user a page."""
    found = _situation(asked, row)
    step = next_step(asked, found)
    if step == "answer":
        assert found is not None
        return _give_code(asked, found, row)
    if asked.is_silent:
        raise asked.refusal(*ERRORS[step])
    if asked.client.require_pushed and not (row is not None and row.pushed):
        raise asked.refusal("invalid_request", "This client has to push its requests.")
    if row is None:
        throttling.take("requests", present_client().ip_address)
        row = requests.store(of_query())
    return _show(step, asked, row, found)


def _give_code(asked: Authorization, found: Situation, row: AuthorizationRequest | None) -> Response:
    if asked.client.require_pushed and not (row is not None and row.pushed):
        raise asked.refusal("invalid_request", "This client has to push its requests.")
    if row is not None and not requests.answer(row):
        return _answer_again(row.id)
    code = grants.issue_code(asked, asked.scopes, found.session, request_id=row.id if row is not None else "")
    if not found.relation.has_signed_in:
        record("app.signed_in", found.session.user_id, client=asked.client.id, app=asked.client.name)
    return redirect_to_app(response_url(asked.redirect_uri, asked.state, code=code), after_form=row is not None)


def _show(step: Step, asked: Authorization, row: AuthorizationRequest, found: Situation | None) -> Response:
    """Show the page for a step, or redirect to the page that handles it."""
    back = with_query(CONTINUE, request=row.id)
    if step == "sign_in":
        return _sign_in(asked, back)
    if step == "confirm":
        return redirect(with_query("/us-verify", next=back))  # type: ignore[return-value]
    assert found is not None
    scopes = scopes_to_allow(asked)
    facts: dict[str, Any] = consent_facts(asked, found.relation, scopes)
    facts |= {"user_label": label_of(identities_of(found.session.user_id)), "back": back, "request_id": row.id}
    if step == "not_allowed":
        record("app.not_allowed", found.session.user_id, client=asked.client.id, app=asked.client.name)
        requests.answer(row)
        throttling.take("requests", present_client().ip_address)
        again = requests.store(requests.parameters_of(row), pushed=row.pushed)  # to continue with another account
        again.begun_at = row.begun_at
        form = {"action": "/oauth/account", "field": "request", "value": again.id}
        facts |= {"account_form": form, "back": with_query(CONTINUE, request=again.id)}
        return _page("oidc/not_allowed.html", facts, 403)
    if step == "second_factor":
        return _page("second_factor.html", facts)
    if step == "choose_account":
        return _page("oidc/account.html", facts | {"is_other": bool(asked.subject)})
    if not asked.client.is_vetted:
        requests.note_shown(row, scopes)
    return _page("oidc/consent.html", facts)


def _sign_in(asked: Authorization, back: str) -> Response:
    """Redirect to the sign-in page, in the language that the app requests if we have it."""
    hint = {"login_hint": asked.login_hint} if asked.login_hint else {}
    answer: Response = redirect(with_query("/us-signin", next=back, **hint))  # type: ignore[assignment]
    if language := i18n.first_offered(asked.ui_locales):
        set_cookie(answer, i18n.ASKED, language, int(requests.LIFETIME.total_seconds()))
    elif settings.cookie_prefix + i18n.ASKED in request.cookies:
        set_cookie(answer, i18n.ASKED, "", 0)  # set for another app
    return answer


@bp.post("/oauth/par")
def push() -> Response:
    """Validate an authorization request and store it for a minute (RFC 9126, section 2)."""
    after_this_request(view_commit)
    fields = form_fields()
    client_documents.require(named_client(fields), g.client_address)
    client = authenticate(fields)
    limit_public(client)
    request_uri = requests.push(of_form(), client, dpop.key_asked_for(thumbprint_of(fields)))
    return json_response({"request_uri": request_uri, "expires_in": int(requests.PUSHED_FOR.total_seconds())}, 201)


def _page(template: str, facts: dict[str, Any], status: int = 200) -> Response:
    answer = respond(template, context=facts)
    answer.status_code = status
    return answer
