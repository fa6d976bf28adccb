"""respond(): the only place that distinguishes browsers from API clients and picks the response for each.

Besides it, redirects to apps, and files of the operator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import orjson
from flask import Response, current_app, flash, g, redirect, request

from app.web.csrf import SAFE_METHODS, csrf_token
from app.web.json_body import sends_json
from app.web.messages import Message, code_of, message
from app.web.pages import render_page

if TYPE_CHECKING:
    from app.web.forms import BaseForm

SET_UP = "set_up"
"""Flash category for a completed setup. The page then recommends what to do next."""

Wanted = Literal["", "access", "refresh"]
"""Tokens that an API client requests with its sign-in: none, an access token, or also a refresh token."""

FILES_KEPT_FOR = 365 * 86400
"""Seconds that browsers may cache a file. A URL never serves different content."""

SVG = "image/svg+xml"
SVG_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'none'"
"""Policy for an SVG opened directly: its own styles, but no scripts, no requests, and not our origin."""


def wants_json() -> bool:
    """Return whether to respond in JSON: the client sent JSON, or prefers it."""
    if sends_json():
        return True
    accept = request.headers.get("Accept", "").lower()
    if "application/json" not in accept:
        return False
    best = accept if accept == "application/json" else request.accept_mimetypes.best or ""
    return best.partition(";")[0].strip().lower() == "application/json"


def respond(
    page: str | None = None,
    form: BaseForm | None = None,
    *,
    go: str | None = None,
    see_other: str | None = None,
    context: dict[str, Any] | None = None,
    without_csrf: bool = False,
    **data: Any,
) -> Response:
    """Respond with a page or redirect to browsers, and with JSON to API clients.

    :param page: template for browsers
    :param form: shown on the page; if it has errors, the response is a rejection
    :param go: URL that browsers are redirected to on success (302); API clients are never redirected
    :param see_other: URL of the page that continues what the form started (303), so that a browser can reload it
    :param context: values for the page only, not for API clients
    :param without_csrf: leave ``csrf_token`` out of the JSON
    :param data: values for the JSON response and the page
    :raises RuntimeError: if an unsafe request succeeded without a form having checked its CSRF token
    """
    if form is not None and (faults := form.faults()):
        return _reject(page, form, faults, (context or {}) | data)
    if request.method not in SAFE_METHODS and not g.get("csrf_checked"):
        raise RuntimeError("an unsafe request was answered without a form having checked it")
    if wants_json():
        return envelope(200, data if without_csrf else data | {"csrf_token": csrf_token()})
    if go is not None or see_other is not None:
        return redirect(go or see_other or "/", 302 if go else 303)  # type: ignore[return-value]
    values = {"support_id": "" if request.method in SAFE_METHODS else support_id()} | (context or {}) | data
    return current_app.make_response(render_page(page or "", form=form, **values))


def support_id() -> str:
    """Return the short ID of this request, shown to the person and stored with its events and log lines."""
    return str(g.get("support_id", ""))


def envelope(status: int, response: dict[str, Any]) -> Response:
    """Return the JSON envelope around ``response``, with sorted keys."""
    body = orjson.dumps({"meta": {"code": status}, "response": response}, option=orjson.OPT_SORT_KEYS)
    return Response(body, status, mimetype="application/json")


def error_envelope(status: int, faults: list[tuple[str, Message | str]], *, fields: bool, **more: Any) -> Response:
    """Return the JSON envelope for errors.

    :param faults: (field, message) pairs
    :param fields: whether to include the field of each error; False if there is no form
    """
    answer: dict[str, Any] = {
        "errors": [str(text) for _, text in faults],
        "error_codes": [code_of(text) for _, text in faults],
        "support_id": support_id(),
    }
    if fields:
        by_field: dict[str, list[str]] = {}
        for name, text in faults:
            by_field.setdefault(name, []).append(str(text))
        answer["field_errors"] = by_field
    return envelope(status, answer | more)


def _reject(
    page: str | None, form: BaseForm, faults: list[tuple[str, Message | str]], context: dict[str, Any]
) -> Response:
    status = form.error_status
    if wants_json():
        fresh = {"csrf_token": csrf_token()} if g.get("csrf_fault") else {}
        answer = error_envelope(status, faults, fields=True, **fresh)
    else:
        answer = current_app.make_response(
            (render_page(page or "", form=form, support_id=support_id(), has_errors=True, **context), status)
        )
    if "retry_after" in form.error_facts:
        answer.headers["Retry-After"] = str(form.error_facts["retry_after"])
    return answer


def flash_message(code: str, category: str = "success", **facts: Any) -> None:
    """Flash a message on the browser's next page. API clients already have their response."""
    if not wants_json():
        flash(message(code, **facts), category)


def wants_token() -> Wanted:
    """Return the tokens an API client requests (``?include_auth_token``, and ``&include_refresh_token``)."""
    if "include_auth_token" not in request.args:
        return ""
    return "refresh" if "include_refresh_token" in request.args and wants_json() else "access"


def redirect_to_app(url: str, *, after_form: bool = False) -> Response:
    """Send the browser to ``url``. The caller must have checked that the client registered it.

    Chrome applies ``form-action``, which allows this site only, to redirects that follow a form submission and blocks
    them. So the response to a form is a page that refreshes to the app, with a link in case refreshes are disabled.
    Any other request, and an API client's POST, gets a 303, so that the posted data isn't passed on (RFC 9700, section
    4.12).
    :param after_form: whether this request may follow a redirect from a form submission
    """
    if (request.method == "POST" or after_form) and request.headers.get("Sec-Fetch-Dest") == "document":
        page = render_page("leave.html", url=url, host=shown_target(url), languages={})
        answer = current_app.make_response(page)
    else:
        answer = redirect(url, 303)  # type: ignore[assignment]
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


def shown_target(url: str) -> str:
    """Return the part of a URL that a person can verify: its host, or an app's custom scheme."""
    parts = urlsplit(url)
    return parts.hostname or f"{parts.scheme}:"


def file_response(data: bytes, content_type: str) -> Response:
    """Return a file of the operator (a logo, image or style sheet), which browsers may cache.

    Its URL must change with its content.
    """
    answer = Response(data, content_type=content_type)
    answer.cache_control.public, answer.cache_control.immutable = True, True
    answer.cache_control.max_age = FILES_KEPT_FOR
    if content_type == SVG:
        answer.headers["Content-Security-Policy"] = SVG_POLICY
    return answer
