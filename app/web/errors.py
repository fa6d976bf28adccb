"""Error answers: one page and one envelope for all of them."""

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
from app.web.redirects import login_with_next, page_asked_for, safe_next, with_query
from app.web.respond import error_envelope, wants_json

log = structlog.get_logger()

PASSING = (429, 500, 503)
"""What may be over in a moment: the same page is offered once more."""

RETRY_AFTER = 2
"""Seconds after which a client may try again when the database was away."""

OwnAnswer = Callable[[int], Response]
_OWN = "latchkey.error_answers"


def init_app(app: Flask) -> None:
    """Answer every error of ``app`` here."""
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Rejected, _refused)
    app.register_error_handler(ReauthenticationRequired, _reauthenticate)
    app.register_error_handler(Exception, _unexpected)
    login_manager.unauthorized_handler(unauthenticated)


def answer_by(app: Flask, paths: Iterable[str], answer: OwnAnswer) -> None:
    """Have ``answer`` make the errors of these paths, and of those below: a protocol says what they look like."""
    app.extensions.setdefault(_OWN, {}).update(dict.fromkeys(paths, answer))


def _own_answer() -> OwnAnswer | None:
    """Return what makes the errors of this path; it is looked up by that, as a wrong method leads to no endpoint."""
    own: dict[str, OwnAnswer] = this_app().extensions.get(_OWN, {})
    path = request.path
    while path and path not in own:
        path = path.rpartition("/")[0]
    return own.get(path)


def error_answer(status: int, text: Message, *, fields: bool = False, retry_after: int | None = None) -> Response:
    """Return the page or envelope for ``status`` with one sentence, or what the protocol of the path asks for."""
    if status >= 500:  # the page of a fault looks nobody up: the database may be what failed
        g._login_user = login_manager.anonymous_user()
    if (own := _own_answer()) is not None:
        answer = own(status)
    elif wants_json():
        answer = error_envelope(status, [("", text)], fields=fields)
    else:
        title, back = HTTPStatus(status).phrase, _same_page() if status in PASSING else None
        page = render_page("errors/error.html", status=status, title=title, text=text, retry_after=retry_after,
                               support_id=g.get("support_id", ""), back=back)  # fmt: skip
        answer = current_app.make_response((page, status))
    if retry_after is not None:
        answer.headers["Retry-After"] = str(retry_after)
    return answer


def _same_page() -> str | None:
    """Return the page that was asked for; None where asking again would do something again."""
    return safe_next(page_asked_for()) if request.method == "GET" else None


def unavailable_answer(error: BaseException | None = None) -> Response:
    """Return the 503 that says: nothing was stored, try again shortly; or when, while the service is moved."""
    if isinstance(error, ServiceReadOnly):
        return error_answer(503, message("service_read_only"), retry_after=error.retry_after)
    return error_answer(503, message("service_unavailable"), retry_after=RETRY_AFTER)


def roll_back() -> None:
    """Keep nothing of what this request did; never raises, for the connection may be gone."""
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
        return _unexpected(fault)  # raised while another error's page was made
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
    """Return the page whose form is posted to the address asked for; None where a program asks, or there is none.

    A browser that dropped a tab asks for the address of its form. The page is the nearest one above it, or stands in
    ``PAGES_OF_FORMS``.
    """
    if request.method not in ("GET", "HEAD") or wants_json() or _own_answer() is not None:
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


def _refused(refused: Rejected) -> Response:
    text = message(refused.code, **refused.facts)
    return error_answer(refused.status, text, fields=True, retry_after=refused.facts.get("retry_after"))


def _reauthenticate(error: ReauthenticationRequired) -> Response:
    text = message("reauthentication_required")
    if wants_json():
        facts: dict[str, Any] = {"reauth_required": True, "unified_signin_enabled": True}
        facts |= {"reauth_methods": list(error.methods), "reauth_reason": "too_weak" if error.too_weak else "too_old"}
        facts |= {"has_webauthn_verify_credential": error.has_passkey, "oauth_enabled": False, "oauth_providers": []}
        return error_envelope(401, [("", text)], fields=False, **facts)
    how = error.said_as
    flash(message("reauthentication_too_weak", methods=how) if error.too_weak and how else text, "info")
    path = error.back or page_asked_for()
    return redirect(with_query("/us-verify", next=safe_next(path) or "/"))  # type: ignore[return-value]


def _unexpected(error: Exception) -> Response:
    roll_back()
    if unavailable(error):
        log.error("database.unavailable", error=type(error).__name__)
        return unavailable_answer(error)
    log.exception("request.failed")
    return error_answer(500, message("internal_server_error"))
