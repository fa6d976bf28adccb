"""view_commit: the single commit of a request, made after its response is built."""

from __future__ import annotations

import structlog
from flask import Response, g, session

from app.db import has_written, unavailable
from app.extensions import db
from app.web.errors import roll_back, unavailable_answer

log = structlog.get_logger()


def view_commit(response: Response) -> Response:
    """Commit the handler's changes, or roll them all back.

    Registered by ``after_this_request(view_commit)`` as a handler's first statement. Responses below 500 are
    committed, including what a rejected request recorded. Responses of 500 and above, and requests that failed the
    CSRF check, are rolled back. If the commit itself fails, the response becomes a 503 that sets no cookie, and
    nothing is retried: Flask would run these callbacks again for the error page, so this function never raises.
    """
    if g.get("commit_done"):
        return response
    g.commit_done = True
    if response.status_code >= 500 or g.get("csrf_fault"):
        roll_back()
        return response
    try:
        if _has_changes():
            db.session.commit()
    except Exception as error:
        if unavailable(error):
            log.error("commit.failed", error=type(error).__name__)
        else:
            log.exception("commit.failed")
        return _nothing_stored(error)
    return response


def _has_changes() -> bool:
    """Return whether there is anything to commit: often a rejection's only write is already committed on its own."""
    if not db.session.registry.has():
        return False  # no session was opened
    session = db.session()
    if session.new or session.dirty or session.deleted:
        return True
    return session.in_transaction() and has_written(session.connection())


def _nothing_stored(error: Exception) -> Response:
    g.commit_failed = True
    session.clear()
    session.modified = False  # set no cookie, not even one that deletes the browser's
    roll_back()
    return unavailable_answer(error)
