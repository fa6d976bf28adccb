"""/dev/inbox: all messages, one message, and its HTML as a mail program shows it."""

from __future__ import annotations

import re

from flask import Response, abort, request

from app.dev_inbox import bp
from app.dev_inbox.mail_catcher import StoredMessage, store_of
from app.extensions import settings
from app.web.respond import respond
from config.types import is_loopback

LETTER_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)
"""A mail styles itself inline and does nothing else; its links open in a tab of their own, outside the sandbox."""

HEAD = re.compile(r"<head[^>]*>", re.IGNORECASE)


@bp.before_request
def refuse_other_machines() -> None:
    """Answer this machine only, whichever server runs and wherever it listens."""
    if not is_loopback(request.environ.get("REMOTE_ADDR", "")):
        abort(404)


@bp.get("")
def inbox() -> Response:
    """List the messages, newest first."""
    return respond("dev_inbox/inbox.html", messages=[kept.shown() for kept in store_of(settings)])


@bp.get("/<message_id>")
def message(message_id: str) -> Response:
    """Show one message."""
    return respond("dev_inbox/message.html", message=_get(message_id).shown())


@bp.get("/<message_id>/html")
def letter(message_id: str) -> Response:
    """Show the HTML of a mail, as it is but for where its links open."""
    html = _get(message_id).html or abort(404)
    begins = HEAD.search(html)
    at = begins.end() if begins else 0
    answer = Response(f'{html[:at]}<base target="_blank">{html[at:]}', mimetype="text/html")
    answer.headers["Content-Security-Policy"] = LETTER_POLICY
    answer.headers["Cross-Origin-Opener-Policy"] = "unsafe-none"  # a sandboxed page with another one is not shown
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


def _get(message_id: str) -> StoredMessage:
    return store_of(settings).get(message_id) or abort(404)
