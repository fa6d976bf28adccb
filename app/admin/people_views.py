"""/admin/people and /admin/attempts: find accounts, and look up a sign-in attempt by its support ID."""

from __future__ import annotations

from typing import Any

from flask import Response, redirect, request

from app.admin import bp
from app.admin.attempts import TITLES, WARNINGS, as_support_id, events_named, timeline
from app.admin.people import STATES, AccountFilter, page_of
from app.admin.presenters import accounts_of, page_facts
from app.errors import Rejected
from app.extensions import settings
from app.groups import service as groups
from app.web.redirects import with_query
from app.web.respond import respond, wants_json

PAGE = "admin/people.html"
ATTEMPTS_PAGE = "admin/attempts.html"
SUPPORT_ID_LENGTH = 8
"""Length of a support ID (``app.observability``)."""


def attempt_named(text: str) -> str | None:
    """Return the support ID typed into the search, if events have it."""
    is_one = len(support_id := as_support_id(text)) == SUPPORT_ID_LENGTH
    return support_id if is_one and events_named(support_id) else None


@bp.get("/attempts")
def attempts() -> Response:
    """Explain the attempt that a support ID belongs to. An unknown ID gives an empty list."""
    typed = request.args.get("support_id", "").strip()
    if "\x00" in typed:
        raise Rejected("api_error", field="support_id")
    entries = timeline(typed)
    found: list[dict[str, Any]] = [
        {"at": each.at, "since": each.since, "reason": each.reason, "detail": each.detail} for each in entries
    ]
    accounts = accounts_of(event.user_id for event in events_named(typed)) if found else {}
    kept = settings.events_keep.total_seconds()
    context = page_facts() | {"attempt_titles": TITLES, "warnings": WARNINGS, "kept": kept, "timeline": entries}
    return respond(
        ATTEMPTS_PAGE,
        context=context,
        support_id=as_support_id(typed) or typed[:16],
        entries=found,
        people=list(accounts.values()),
    )


@bp.get("/people")
def people() -> Response:
    """List accounts: all of them newest first, or those that match ``q``, optionally of one ``state`` or ``group``."""
    asked = {name: request.args.get(name, "").strip() for name in ("q", "state", "group", "after")}
    if "\x00" in "".join(asked.values()):
        raise Rejected("api_error")
    if asked["state"] not in ("", *STATES):
        raise Rejected("api_error", field="state")
    if asked["group"] and groups.summary_of(asked["group"]) is None:
        raise Rejected("unknown_group", field="group", group=asked["group"])
    found, after = page_of(AccountFilter(asked["q"], asked["state"], asked["group"]), asked["after"])
    attempt = attempt_named(asked["q"]) if not found else None
    if attempt and not wants_json():
        return redirect(with_query("/admin/attempts", support_id=attempt))  # type: ignore[return-value]
    where = {name: value for name, value in asked.items() if value and name != "after"}
    context = page_facts() | {
        "asked": asked,
        "groups": groups.titles(),
        "following": with_query("/admin/people", **where, after=after) if after else None,
        "begin": with_query("/admin/people", **where),
    }
    return respond(PAGE, context=context, people=found, after=after, attempt=attempt)
