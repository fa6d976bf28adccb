"""Guards: who may use a view."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, cast

import flask_login
from flask import Response, redirect
from flask_login import current_user

from app.extensions import settings
from app.web.messages import message
from app.web.respond import error_envelope, wants_json

P = ParamSpec("P")


def login_required(view: Callable[P, Any]) -> Callable[P, Any]:
    """Admit signed-in users only; others get 401, or the sign-in page (Flask-Login's, typed)."""
    return cast("Callable[P, Any]", flask_login.login_required(view))


def anonymous_only(view: Callable[P, Any]) -> Callable[P, Any]:
    """Let only somebody who is not signed in come in; others are sent on their way."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
        return already_signed_in() if current_user.is_authenticated else view(*args, **kwargs)

    return guarded


def already_signed_in() -> Response:
    """Answer somebody who is signed in already and asks to sign in."""
    if wants_json():
        return error_envelope(400, [("", message("anonymous_user_required"))], fields=False)
    return redirect(settings.post_login_url)  # type: ignore[return-value]
