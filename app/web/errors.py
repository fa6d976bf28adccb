"""Error responses: a single page and a single JSON envelope for all errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import structlog
from flask import Flask, Response, current_app, flash, g, redirect, request
from werkzeug.exceptions import HTTPException

from app.db import ServiceReadOnly, unavailable
from app.errors import ReauthenticationRequired, Rejected
from app.extensions import db, login_manager, this_app
from app.web.messages import MESSAGES, Message, message
from app.web.pages import PAGES_OF_FORMS, render_page
from app.web.redirects import login_with_next, requested_page, safe_next, with_query
from app.web.respond import error_envelope, wants_json

log = structlog.get_logger()

TEMPORARY = (429, 500, 503)
"""Status codes of temporary errors. Their page offers a retry link."""

RETRY_AFTER = 2
"""Seconds after which clients may retry when the database was unavailable."""

ErrorFormatter = Callable[[int], Response]
_FORMATS = "latchkey.error_answers"


def init_app(app: Flask) -> None:
    """Register the error handlers of ``app``."""
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Rejected, _rejected)
    app.register_error_handler(ReauthenticationRequired, _reauthenticate)
    app.register_error_handler(Exception, _unexpected)
    login_manager.unauthorized_handler(unauthenticated)


def register_error_format(app: Flask, paths: Iterable[str], answer: ErrorFormatter) -> None:
    """Let ``answer`` build the error responses at and below these paths, where a protocol defines their format."""
    app.extensions.setdefault(_FORMATS, {}).update(dict.fromkeys(paths, answer))


def _error_format() -> ErrorFormatter | None:
    """Return the error builder for this path. By path, since a request with the wrong method has no endpoint."""
    own: dict[str, ErrorFormatter] = this_app().extensions.get(_FORMATS, {})
    path = request.path
    while path and path not in own:
        path = path.rpartition("/")[0]
    return own.get(path)


def error_answer(status: int, text: Message, *, fields: bool = False, retry_after: int | None = None) -> Response:
    """Return the error page or JSON envelope for ``status``, or the format that the path's protocol requires."""
    if status >= 500:  # don't look up the user: the database may be what failed
        g._login_user = login_manager.anonymous_user()
    if (own := _error_format()) is not None:
        answer = own(status)
    elif wants_json():
        answer = error_envelope(status, [("", text)], fields=fields)
    else:
        title, back = HTTPStatus(status).phrase, _same_page() if status in TEMPORARY else None
        page = render_page("errors/error.html", status=status, title=title, text=text, retry_after=retry_after,
                               support_id=g.get("support_id", ""), back=back)  # fmt: skip
        answer = current_app.make_response((page, status))
    if retry_after is not None:
        answer.headers["Retry-After"] = str(retry_after)
    return answer


def _same_page() -> str | None:
    """Return the URL of the current page; None if requesting it again could repeat an action."""
    return safe_next(requested_page()) if request.method == "GET" else None


def unavailable_answer(error: BaseException | None = None) -> Response:
    """Return a 503: nothing was stored, retry shortly, or during maintenance after the time that ``error`` gives."""
    if isinstance(error, ServiceReadOnly):
        return error_answer(503, message("service_read_only"), retry_after=error.retry_after)
    return error_answer(503, message("service_unavailable"), retry_after=RETRY_AFTER)


def roll_back() -> None:
    """Roll back this request's changes. Never raises, because the connection may be gone."""
    try:
        db.session.rollback()
    except Exception:
        log.exception("rollback.failed")


def unauthenticated() -> Response:
    """Answer a request that needs a sign-in: 401 to API clients, the sign-in page to browsers."""
    text = message("unauthenticated")
    if wants_json():
        return error_answer(401, text)
    flash(text, "info")
    return redirect(login_with_next())  # type: ignore[return-value]


def _http_error(error: HTTPException) -> Any:
    if error.code is None or error.code < 400:
        return error
    if (fault := getattr(error, "original_exception", None)) is not None:
        return _unexpected(fault)  # raised while rendering another error's page
    if error.code == 405 and (page := _page_of_form()):
        return redirect(page)
    known = error.description if isinstance(error.description, Message) else None
    name = HTTPStatus(error.code).name.lower()
    name = {"content_too_large": "request_entity_too_large"}.get(name, name)
    fallback = name if name in MESSAGES else "bad_request" if error.code < 500 else "internal_server_error"
    answer = error_answer(error.code, known or message(fallback))
    for header, value in error.get_headers():
        if header in ("Allow", "Retry-After"):
            answer.headers[header] = value
    return answer


def _page_of_form() -> str | None:
    """Return the page whose form posts to this URL; None for API clients, or if there is no such page.

    A browser that discarded a tab reloads the URL the form was posted to. The page is the nearest one above it in the
    path, or listed in ``PAGES_OF_FORMS``.
    """
    if request.method not in ("GET", "HEAD") or wants_json() or _error_format() is not None:
        return None
    pages = current_app.url_map.bind("localhost")
    path = request.path
    while path != "/":
        path = PAGES_OF_FORMS.get(path) or path.rpartition("/")[0] or "/"
        try:
            pages.match(path, "GET")
        except HTTPException:
            continue
        goal = safe_next(request.args.get("next"))
        return with_query(path, next=goal) if goal else path
    return None


def _rejected(rejection: Rejected) -> Response:
    text = message(rejection.code, **rejection.facts)
    return error_answer(rejection.status, text, fields=True, retry_after=rejection.facts.get("retry_after"))


def _reauthenticate(error: ReauthenticationRequired) -> Response:
    text = message("reauthentication_required")
    if wants_json():
        facts: dict[str, Any] = {"reauth_required": True, "unified_signin_enabled": True}
        facts |= {"reauth_methods": list(error.methods), "reauth_reason": "too_weak" if error.too_weak else "too_old"}
        facts |= {"has_webauthn_verify_credential": error.has_passkey, "oauth_enabled": False, "oauth_providers": []}
        return error_envelope(401, [("", text)], fields=False, **facts)
    how = error.said_as
    flash(message("reauthentication_too_weak", methods=how) if error.too_weak and how else text, "info")
    path = error.back or requested_page()
    return redirect(with_query("/us-verify", next=safe_next(path) or "/"))  # type: ignore[return-value]


def _unexpected(error: Exception) -> Response:
    roll_back()
    if unavailable(error):
        log.error("database.unavailable", error=type(error).__name__)
        return unavailable_answer(error)
    log.exception("request.failed")
    return error_answer(500, message("internal_server_error"))
