"""view_commit: a request's one commit, made once its response is built."""

from __future__ import annotations

import structlog
from flask import Response, g, session

from app.db import has_written, unavailable
from app.extensions import db
from app.web.errors import roll_back, unavailable_answer

log = structlog.get_logger()


def view_commit(response: Response) -> Response:
    """Commit what the handler did, or keep nothing of it.

    Registered by ``after_this_request(view_commit)`` as a handler's first statement. An answer below 500
    commits, with what a refusal recorded; from 500 up, and when the request was forged, nothing is kept. When the
    commit itself fails the answer becomes a 503 that hands out no cookie, and nothing is tried again:
    Flask would run these callbacks a second time for the error page, so this function never raises.
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
    """Whether there is anything to commit: a refusal often has only what was written at once."""
    session = db.session()
    if session.new or session.dirty or session.deleted:
        return True
    return session.in_transaction() and has_written(session.connection())


def _nothing_stored(error: Exception) -> Response:
    g.commit_failed = True
    session.clear()
    session.modified = False  # no cookie, not even one that removes what the browser had
    roll_back()
    return unavailable_answer(error)
