"""The CSRF token in a cookie that scripts can read, for front ends that take it from there.

Off unless ``LATCHKEY_CSRF_COOKIE_NAME`` names it. The check looks at what a request sends along, never at this cookie.
"""

from __future__ import annotations

from flask import Response

from app.extensions import g, request, settings
from app.web.browser_cookie import sent_program_token
from app.web.csrf import csrf_token, will_last


def set_csrf_cookie(response: Response) -> Response:
    """Hand out the token with an answer that has one, or signs in, unless the browser's will do (``after_request``).

    It goes with signing out; the next page brings another.
    """
    name, session = settings.csrf_cookie_name, g.get("session_cookie")
    if not name or response.status_code >= 500 or g.get("commit_failed"):
        return response
    secure = bool(settings.cookie_prefix)
    if session == ("", 0):
        response.delete_cookie(name, secure=secure, samesite="Strict")
    elif session or (g.get("csrf_token_made") and _is_missing(name)):
        response.set_cookie(name, csrf_token(), secure=secure, samesite="Strict")
    return response


def _is_missing(name: str) -> bool:
    """Say whether this is a browser without a token that will do; a program needs none."""
    return sent_program_token() is None and not will_last(request.cookies.get(name, ""))
