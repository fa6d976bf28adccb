"""Redirect to an app, or where the browser would block that, show a page that forwards to it automatically."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Response, current_app, redirect, request

from app.web.pages import render_page


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
