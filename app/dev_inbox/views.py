"""/dev/inbox: list of messages, single messages, and their HTML as a mail client shows it."""

from __future__ import annotations

import re

from flask import Response, abort, request

from app.dev_inbox import bp
from app.dev_inbox.mail_catcher import StoredMessage, store_of
from app.extensions import settings
from app.web.respond import respond
from config.types import is_loopback

EMAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)
"""Emails only get inline styles. Their links open in a new tab, outside the sandbox."""

_CODE = re.compile(
    r"^[ \t]*(\d{3,4}[ ]\d{3,4}|\d{6,8})[ \t]*$"  # on its own line, in an email
    r"|^@\S+ #(\d{6,8})\s*\Z",  # domain-bound, at the end of a text message
    re.MULTILINE,
)

HEAD = re.compile(r"<head[^>]*>", re.IGNORECASE)


@bp.before_request
def refuse_other_machines() -> None:
    """Only respond to this machine, whatever server is used and whatever it listens on."""
    if not is_loopback(request.environ.get("REMOTE_ADDR", "")):
        abort(404)


@bp.get("")
def inbox() -> Response:
    """List the messages, newest first."""
    return respond("dev_inbox/inbox.html", messages=[stored.public_fields() for stored in store_of(settings)])


@bp.get("/<message_id>")
def message(message_id: str) -> Response:
    """Show one message."""
    stored = _get(message_id)
    return respond("dev_inbox/message.html", context={"code": code_in(stored.text)}, message=stored.public_fields())


@bp.get("/<message_id>/html")
def letter(message_id: str) -> Response:
    """Show the HTML of an email, unchanged except that its links open in a new tab."""
    html = _get(message_id).html or abort(404)
    head = HEAD.search(html)
    position = head.end() if head else 0
    response = Response(f'{html[:position]}<base target="_blank">{html[position:]}', mimetype="text/html")
    response.headers["Content-Security-Policy"] = EMAIL_POLICY
    response.headers["Cross-Origin-Opener-Policy"] = "unsafe-none"  # browsers block sandboxed pages otherwise
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def code_in(text: str) -> str:
    """Return the code in a message, grouped as in the message; "" if there is none."""
    found = _CODE.search(text)
    return next(filter(None, found.groups())) if found else ""


def _get(message_id: str) -> StoredMessage:
    return store_of(settings).get(message_id) or abort(404)
