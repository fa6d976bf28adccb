"""Leave for an app: a redirect, or where a browser would hold that back, a page that goes on by itself."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Response, current_app, redirect, request

from app.web.pages import render_page


def leave(url: str, *, after_form: bool = False) -> Response:
    """Send the browser to ``url``, which its caller has found among those that the client registered.

    Chrome holds the redirect that answers a form against ``form-action``, which names this site alone, and stops it. So
    the answer to a form is a page that refreshes to the app, and has a link for who has turned that off. Any other
    request, and a program's POST, gets a 303, so that nothing that was posted here is posted on (RFC 9700, section
    4.12).
    :param after_form: whether a redirect that answered a form may have led to this request
    """
    if (request.method == "POST" or after_form) and request.headers.get("Sec-Fetch-Dest") == "document":
        page = render_page("leave.html", url=url, host=shown_target(url), languages={})
        answer = current_app.make_response(page)
    else:
        answer = redirect(url, 303)  # type: ignore[assignment]
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


def shown_target(url: str) -> str:
    """Return where an address leads as a person can check it: its host, or an app's own scheme."""
    parts = urlsplit(url)
    return parts.hostname or f"{parts.scheme}:"
