"""What a visitor of an app is told by us at the app's own address: a small page that needs no file of ours, or JSON."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app, render_template, request

from app.forward_auth.checks import opens_socket
from app.web.headers import csp_nonce
from app.web.messages import message
from app.web.respond import error_envelope, wants_json

_BY_STATUS = {503: "service_unavailable", 429: "too_many_requests"}


def asks_for_page() -> bool:
    """Whether a person opens a page here: a program, a script or a socket can't follow to a sign-in."""
    if wants_json() or opens_socket(request.headers):
        return False
    return request.headers.get("Sec-Fetch-Mode", "navigate") in ("navigate", "nested-navigate")


def notice(status: int, code: str = "", *, link: str = "", **facts: Any) -> Response:
    """Return a refusal.

    :param code: of a message; without one the status says it
    :param link: where a person can go on
    """
    text = message(code or _BY_STATUS.get(status, "bad_request" if status < 500 else "internal_server_error"), **facts)
    if wants_json() or not _takes_html():
        return error_envelope(status, [("", text)], fields=False)
    page = render_template("forward_auth/notice.html", text=text, link=link, app=facts.get("app", ""), status=status)
    answer = current_app.make_response((page, status))
    answer.headers["Referrer-Policy"] = "no-referrer"  # the address may have a ticket in it
    answer.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'nonce-{csp_nonce()}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return answer


def _takes_html() -> bool:
    return "text/html" in request.headers.get("Accept", "")
