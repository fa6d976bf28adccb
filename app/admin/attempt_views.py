"""/admin/attempts: what became of an attempt to sign in, by the support ID that its page or error showed."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from app.admin import bp
from app.admin.attempts import TITLES, WARNINGS, as_support_id, events_named, timeline
from app.admin.presenters import accounts_of, page_facts
from app.errors import Rejected
from app.extensions import settings
from app.web.respond import respond

PAGE = "admin/attempts.html"


@bp.get("/attempts")
def attempts() -> Response:
    """Explain the attempt that a support ID belongs to; nothing is found for one that isn't known."""
    typed = request.args.get("support_id", "").strip()
    if "\x00" in typed:
        raise Rejected("api_error", field="support_id")
    entries = timeline(typed)
    found: list[dict[str, Any]] = [
        {"at": each.at, "since": each.since, "reason": each.reason, "detail": each.detail} for each in entries
    ]
    accounts = accounts_of(event.user_id for event in events_named(typed)) if found else {}
    kept = settings.events_keep.total_seconds()
    shown = page_facts() | {"attempt_titles": TITLES, "warnings": WARNINGS, "kept": kept, "timeline": entries}
    return respond(
        PAGE, shown=shown, support_id=as_support_id(typed) or typed[:16], entries=found, people=list(accounts.values())
    )
