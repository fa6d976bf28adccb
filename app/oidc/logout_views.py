"""/oauth/logout: where an app sends a user to sign out (OpenID Connect RP-Initiated Logout 1.0)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Response, after_this_request, g, redirect
from flask_login import current_user
from werkzeug.datastructures import MultiDict

from app import throttling
from app.audit import record
from app.i18n import first_offered
from app.login.presenters import label_of
from app.oidc import bp, requests
from app.oidc.authorization import PageError
from app.oidc.authorize_views import request_error_page
from app.oidc.forms import LogoutForm
from app.oidc.logout_requests import LogoutRequest, read_logout
from app.oidc.parameters import form_parameters, query_parameters
from app.oidc.presenters import requesting_app_facts
from app.sessions.store import current_session, is_signed_out_already, revoke_current_session
from app.users import identities_of
from app.web.client import is_click, present_client
from app.web.commit import view_commit
from app.web.headers import clear_site
from app.web.redirects import with_query
from app.web.respond import redirect_to_app, respond, wants_json

PATH = "/oauth/logout"
REQUEST_LIFETIME = timedelta(minutes=10)


@bp.get(PATH)
def logout_page() -> Response:
    """Sign out the user that the app's hint is about; ask anyone else. Without a session, go straight back."""
    after_this_request(view_commit)
    try:
        logout = read_logout(_parameters())
    except PageError as error:
        return request_error_page(error.code)
    g.asked_language = first_offered(logout.ui_locales)
    session = current_session()
    if session is None or session.kind != "browser":
        return _return_to_app(logout)
    if logout.is_about(session.session_id, current_user.handle) and is_click():
        _sign_out(logout)
        return clear_site(_return_to_app(logout))
    shown = _page_context(logout) | {"user_label": label_of(identities_of(session.user_id))}
    return respond("oidc/logout.html", context=shown, state="confirm", app=_name(logout))


@bp.post(PATH)
def logout_by_form() -> Response:
    """Store a logout request that was POSTed, and redirect so that the browser comes back with its cookies.

    As at ``/oauth/authorize``, nothing is decided here and no session is looked up, so no CSRF token is needed. A
    posted ID token stays out of all URLs.
    """
    after_this_request(view_commit)
    throttling.take("requests", present_client().ip_address)
    row = requests.store(form_parameters(), lifetime=REQUEST_LIFETIME)
    return redirect(with_query(PATH, request=row.id), 303)  # type: ignore[return-value]


@bp.post(f"{PATH}/confirm")
def confirm_logout() -> Response:
    """Sign out, as the user has confirmed, then return to the app."""
    after_this_request(view_commit)
    form = LogoutForm()
    if not form.validate() and not is_signed_out_already():
        return respond("errors/form.html", form)
    try:
        logout = read_logout(MultiDict({name: value for name, value in form.data.items() if isinstance(value, str)}))
    except PageError as error:
        return request_error_page(error.code)
    _sign_out(logout)
    if wants_json():
        return clear_site(respond(without_csrf=True, redirect_to=logout.url or None))
    if logout.url:
        return clear_site(redirect_to_app(logout.url))
    query = {"client_id": logout.client.id} if logout.client is not None else {}
    return clear_site(redirect(with_query(PATH, **query), 303))  # type: ignore[arg-type]


def _parameters() -> MultiDict[str, str]:
    """Return the parameters of this request, or of the stored one that it names. Raises PageError."""
    parameters = query_parameters()
    if "request" not in parameters:
        return parameters
    row = requests.find(parameters["request"])
    if row is None:
        raise PageError("oauth_request_over")
    return requests.parameters_of(row)


def _sign_out(logout: LogoutRequest) -> None:
    session = revoke_current_session()
    if session is not None:
        by: dict[str, Any] = (
            {"client": logout.client.id, "app": logout.client.name} if logout.client is not None else {}
        )
        record("session.ended", session.user_id, reason="signed_out", **by)


def _return_to_app(logout: LogoutRequest) -> Response:
    """Return to the app, or show that no one is signed in."""
    if logout.url:
        return redirect_to_app(logout.url)
    return respond("oidc/signed_out.html", context=_page_context(logout), state="signed_out", app=_name(logout))


def _page_context(logout: LogoutRequest) -> dict[str, Any]:
    """Return what a page shows about the requesting app, if the request names one."""
    return {"asked": logout, "asker": None} | (requesting_app_facts(logout.client) if logout.client is not None else {})


def _name(logout: LogoutRequest) -> str | None:
    return logout.client.name if logout.client is not None else None
