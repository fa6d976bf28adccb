"""Access control for views: sign-in state, and API token scopes. Endpoints without a scope reject all API tokens."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, cast

import flask_login
from flask import Flask, Response, g, redirect, request
from flask_login import current_user

from app.crypto import secrets
from app.extensions import settings, this_app
from app.i18n import N_
from app.web.cookies import sent_auth_token
from app.web.destinations import is_destination
from app.web.errors import error_answer
from app.web.messages import message
from app.web.redirects import next_or
from app.web.respond import error_envelope, wants_json

P = ParamSpec("P")

SCOPE_OF_APPS = "apps"
"""Lets an API client use apps behind a proxy. Latchkey's own endpoints reject it."""

SCOPE_OF_CONSOLE = "admin"
"""Lets an API client do everything in the console that its owner, an administrator, can do."""

SCOPES = {
    "read": N_("See your account, devices and activity"),
    "manage": N_("Sign out devices and forget browsers"),
    SCOPE_OF_APPS: N_("Use the apps that are protected by this service"),
    SCOPE_OF_CONSOLE: N_("Everything that you can do in the administrators' console"),
}
"""Scopes with their descriptions. No scope includes another."""

REQUIRED = {
    "account.home": "read",
    "account.sessions_page": "read",
    "account.activity_page": "read",
    "signin.us_signin_page": "read",
    "signin.login": "read",
    "account.end_session_page": "manage",
    "account.end_other_sessions": "manage",
    "account.forget_known_browser": "manage",
}
"""The API token scope that each endpoint requires. Endpoints here that change data don't ask for reauthentication."""

_OF_PACKAGES = "latchkey.scopes_of_packages"

OPEN = frozenset(
    ("static", "status.healthz", "status.readyz", "status.openapi", "oidc.openid_configuration", "oidc.server_metadata",
     "oidc.jwks", "forward_auth.gate_nginx", "forward_auth.gate_forward", "forward_auth.gate_envoy")
)  # fmt: skip
"""Endpoints that need no authentication, or look up tokens themselves."""


def require_scope_of(app: Flask, package: str, scope: str) -> None:
    """Require ``scope`` of API tokens at every endpoint of a package."""
    app.extensions.setdefault(_OF_PACKAGES, {})[package] = scope


def login_required(view: Callable[P, Any]) -> Callable[P, Any]:
    """Admit signed-in users only; others get a 401 or the sign-in page. Flask-Login's decorator, with types."""
    return cast("Callable[P, Any]", flask_login.login_required(view))


def anonymous_only(view: Callable[P, Any]) -> Callable[P, Any]:
    """Admit people who aren't signed in; redirect others to where they were going."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
        return already_signed_in() if current_user.is_authenticated else view(*args, **kwargs)

    return guarded


def already_signed_in() -> Response:
    """Answer a sign-in request from someone who is already signed in, perhaps in another tab.

    A browser continues to the app the sign-in was for. Any other ``next`` is ignored.
    """
    if wants_json():
        return error_envelope(400, [("", message("anonymous_user_required"))], fields=False)
    target = next_or("", request.form.get("next"))
    return redirect(target if is_destination(target) else settings.post_login_url)  # type: ignore[return-value]


def reject_out_of_scope() -> Response | None:
    """Answer 403 to an active API token without the scope for this endpoint (a ``before_request`` function).

    An expired or revoked token counts as no token, so the request goes on unauthenticated.
    """
    token = sent_auth_token() or ""
    if not token.startswith(secrets.API_PREFIX) or request.endpoint is None or request.endpoint in OPEN:
        return None
    current_user.is_authenticated  # noqa: B018 - triggers the lookup, once per request
    scopes = g.get("token_scopes")
    if scopes is None:
        return None
    of_packages: dict[str, str] = this_app().extensions.get(_OF_PACKAGES, {})
    needed = REQUIRED.get(request.endpoint) or of_packages.get(request.blueprint or "")
    if needed is None:
        return error_answer(403, message("token_not_accepted"))
    if needed in scopes:
        return None
    text = message("scope_missing", scope=needed)
    return error_envelope(403, [("", text)], fields=False, scope=needed) if wants_json() else error_answer(403, text)
