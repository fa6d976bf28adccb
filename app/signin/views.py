"""/us-signin, /us-signin/send-code, /login, /logout and /us-refresh."""

from __future__ import annotations

from typing import Any

from flask import Response, abort, after_this_request, request
from flask_login import current_user

from app import throttling
from app.audit import record
from app.authenticators.presenters import methods_offered, sent_code_context, sent_code_facts
from app.client import ClientContext
from app.enrollments.methods import typed_methods
from app.errors import Rejected
from app.extensions import settings
from app.login import pending
from app.login.pipeline import sign_in
from app.login.presenters import user_facts
from app.notifications import notices
from app.notifications.notices import sentence
from app.sessions import refresh_tokens
from app.sessions.refresh_tokens import Exchanged, Reused
from app.sessions.store import is_signed_out_already, revoke_current_session
from app.signin import bp, service
from app.signin.forms import (
    EnterForm,
    LoginForm,
    LogoutForm,
    RefreshForm,
    SendCodeForm,
    SignInForm,
    enter_asks_for_code,
)
from app.signin.presenters import (
    HOME,
    PAGE,
    drop_pending,
    keep_open,
    login_hint,
    page,
    page_again,
    page_of_open,
    page_of_typed,
    sign_in_response,
)
from app.signin.service import send_code
from app.web import open_request
from app.web.access import already_signed_in, anonymous_only
from app.web.client import present_client, sending_client, trusted_client
from app.web.commit import view_commit
from app.web.cookies import browser_secret
from app.web.headers import clear_site
from app.web.json_body import sends_json
from app.web.redirects import next_or, safe_next, with_query
from app.web.respond import flash_message, respond, support_id, wants_json


@bp.get("/us-signin")
@bp.get("/login", endpoint="login")
def us_signin_page() -> Response:
    """Show the sign-in page; tell an API client who is signed in, or the available methods."""
    if current_user.is_authenticated:
        if not wants_json():
            return already_signed_in()
        return respond(**methods_offered(), user=user_facts(current_user))
    form = SignInForm()
    form.next.data = safe_next(request.args.get("next"))
    form.remember.data = settings.default_remember_me
    form.identity.data = login_hint()
    browser_secret()
    drop_pending()
    if wants_json():
        return respond(PAGE, form, **methods_offered())
    if "new" in request.args:
        return open_request.clear(respond(PAGE, form, context=page("identity"), **methods_offered()))
    if (method := request.args.get("use", "")) in typed_methods():
        return respond(PAGE, form, context=page_of_typed(method, form), **methods_offered())
    return respond(PAGE, form, context=page_of_open(form) or page("identity"), **methods_offered())


@bp.post("/us-signin")
@bp.post("/login", endpoint="login_post")
@anonymous_only
def us_signin() -> Response:
    """Sign in with an identity and a passcode."""
    after_this_request(view_commit)
    if enter_asks_for_code():
        return _send_code(EnterForm())
    form = LoginForm() if request.endpoint == "signin.login_post" else SignInForm()
    if form.validate():
        with form.collecting_errors():
            next_url = next_or("", form.next.data)
            client = trusted_client(form.challenge.data, form.tf_validity_token.data)
            outcome = sign_in(
                form.identity.data or "",
                form.passcode.data,
                client,
                remember=form.remember.data,
                next_page=next_url,
            )
            return sign_in_response(outcome, next_url or settings.post_login_url)
    return respond(PAGE, form, context=page_again(form))


@bp.post("/us-signin/send-code")
@anonymous_only
def us_signin_send_code() -> Response:
    """Send a passcode to an identity, if an account has it."""
    after_this_request(view_commit)
    return _send_code(SendCodeForm())


def _send_code(form: SendCodeForm) -> Response:
    if form.validate():
        with form.collecting_errors():
            method, typed = form.chosen_method.data or None, form.identity.data
            next_url = safe_next(form.next.data) or ""
            client = sending_client(form.challenge.data)
            requested = send_code(typed, method, client, next_page=next_url)
            characters = requested.characters
            shown = sent_code_context(requested.challenge, typed, characters)
            facts: dict[str, Any] = sent_code_facts(shown) | {"support_id": support_id()}
            facts |= {"link_characters": characters} if characters else {}
            if wants_json() and service.shows_undelivered(requested.challenge, client):
                facts["undelivered"] = True
            answer = respond(PAGE, form, see_other=with_query(HOME, next=next_url) if next_url else HOME, **facts)
            return answer if wants_json() else keep_open(answer, form, requested.challenge)
    return respond(PAGE, form, context=page_again(form))


@bp.post("/logout")
def logout() -> Response:
    """Sign out, revoking the session and every token it issued immediately."""
    after_this_request(view_commit)
    form = LogoutForm()
    if form.validate() or is_signed_out_already():
        session = revoke_current_session()
        if form.refresh_token.data:
            sign_out(form.refresh_token.data)
        pending.end(present_client())
        if session is not None:
            record("session.ended", session.user_id, reason="signed_out")
            flash_message("signed_out")
        return clear_site(respond(go=next_or(settings.post_logout_url, form.next.data), without_csrf=True))
    return respond("errors/form.html", form)


@bp.post("/us-refresh")
@bp.post("/refresh-token", endpoint="refresh_token")
def us_refresh() -> Response:
    """Exchange a refresh token. Accepts only JSON, since other sites can make a browser submit a form."""
    after_this_request(view_commit)
    form = RefreshForm()
    if form.validate():
        if not sends_json():
            abort(415)
        with form.collecting_errors():
            done = refresh(form.refresh_token.data, present_client())
            user = {"id": done.user.handle, "authentication_token": done.access, "refresh_token": done.refresh}
            return respond(without_csrf=True, user=user, expires_in=done.expires_in)
    return respond("errors/form.html", form)


def refresh(token: str, client: ClientContext) -> Exchanged:
    """Exchange ``token``, which works once. Reusing a token ends its session and notifies the owner.

    :raises Rejected: ``refresh_token_invalid`` or ``refresh_token_reused`` (401) on ``refresh_token``;
        ``too_many_requests`` after too many exchanges, or too many failed ones, from one network address
    """
    throttling.take("exchanges", client.ip_address)
    throttling.check("refreshes", client.ip_address)
    done = refresh_tokens.exchange(token)
    if isinstance(done, Exchanged):
        return done
    if isinstance(done, Reused):
        record("refresh.reused", done.user_id)
        what = sentence("An app was signed out, because its refresh token was used twice. It may have been copied.")
        notices.notify(done.user_id, what, client, session_id=done.session_id)
    throttling.take("refreshes", client.ip_address)
    code = "refresh_token_reused" if isinstance(done, Reused) else "refresh_token_invalid"
    raise Rejected(code, field="refresh_token", status=401)


def sign_out(token: str) -> None:
    """End the session that issued this refresh token, if any. Holding the token suffices; the result isn't revealed."""
    user_id = refresh_tokens.revoke_session_of(token)
    if user_id is not None:
        record("session.ended", user_id, reason="signed_out")
