"""What is shown about protected apps: at the sign-in, among a user's apps, and on their own host."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote

from flask import Response, current_app, render_template, request

from app.forward_auth.app_file import app_of, apps_by_host
from app.forward_auth.checks import is_websocket
from app.forward_auth.rules import ProtectedApp
from app.web.destinations import Destination, LauncherEntry, letter_of, tint_of
from app.web.headers import csp_nonce
from app.web.messages import message
from app.web.respond import error_envelope, wants_json

MAX_RETURN_LENGTH = 1024
"""Maximum length of the path and query that a visitor is sent back to."""

_MAX_ENCODED_LENGTH = 1600
"""The same, encoded in the query of ``/gate/continue``: all of it must fit the maximum length of a ``next``."""

_BY_STATUS = {503: "service_unavailable", 429: "too_many_requests"}


def fits_return_url(target: str) -> bool:
    """Return whether a path and query, percent-encoded, is short enough to be kept during the sign-in."""
    return len(target) <= MAX_RETURN_LENGTH and len(quote(target, safe="")) <= _MAX_ENCODED_LENGTH


def destination_of_request(query: Mapping[str, str]) -> Destination | None:
    """Return the app named in a query of ``/gate/continue``."""
    app = app_of(query.get("app", ""))
    return Destination(app.name, "", letter_of(app.name), tint_of(app.id)) if app is not None else None


def apps_of(groups: Collection[str]) -> list[LauncherEntry]:
    """Return the apps whose front page a member of these groups may open."""
    found = sorted(apps_by_host().values(), key=lambda app: (app.name.casefold(), app.id))
    return [_entry(app) for app in found if _can_open(app, groups)]


def _can_open(app: ProtectedApp, groups: Collection[str]) -> bool:
    requirements = app.requirements_for("GET", "/")
    return app.is_listed and requirements.level != "deny" and requirements.admits(groups)


def _entry(app: ProtectedApp) -> LauncherEntry:
    return LauncherEntry(app.id, app.name, app.origin, app.host, letter_of(app.name), tint_of(app.id))


def is_page_request() -> bool:
    """Return whether someone opens a page: a program, a script or a WebSocket can't follow to a sign-in."""
    if wants_json() or is_websocket(request.headers):
        return False
    return request.headers.get("Sec-Fetch-Mode", "navigate") in ("navigate", "nested-navigate")


def notice(status: int, code: str = "", *, link: str = "", **facts: Any) -> Response:
    """Return a refusal.

    :param code: code of a message; by default it follows from the status
    :param link: where the visitor can continue
    """
    text = message(code or _BY_STATUS.get(status, "bad_request" if status < 500 else "internal_server_error"), **facts)
    if wants_json() or not _accepts_html():
        return error_envelope(status, [("", text)], fields=False)
    page = render_template("forward_auth/notice.html", text=text, link=link, app=facts.get("app", ""), status=status)
    answer = current_app.make_response((page, status))
    answer.headers["Referrer-Policy"] = "no-referrer"  # the URL may contain a ticket
    answer.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'nonce-{csp_nonce()}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return answer


def _accepts_html() -> bool:
    return "text/html" in request.headers.get("Accept", "")
