"""/admin/audit: search the audit log and export the results."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import orjson
from flask import Flask, Response, request

from app.admin import audit_log, bp, people
from app.admin.access import record_action
from app.admin.attempts import as_support_id
from app.admin.audit_log import EventFilter
from app.admin.presenters import accounts_of, log_facts, page_facts
from app.clock import now
from app.errors import Rejected
from app.extensions import this_app
from app.users import User
from app.web.messages import message
from app.web.redirects import with_query
from app.web.respond import respond, wants_json

PAGE = "admin/audit.html"
OPERATOR = "operator"
"""Value of the ``actor`` filter for what was done on the command line."""

FILTERS = ("event", "person", "actor", "support_id", "address", "from", "to")


@bp.get("/audit")
def audit() -> Response:
    """List the events that match the query's filters, newest first."""
    asked, after = _asked(), request.args.get("after", "")
    where = {name: value for name, value in asked.items() if value}
    context = page_facts() | {"asked": asked, "later": bool(after), "fault": None,
                            "begin": with_query("/admin/audit", **where),
                            "export": with_query("/admin/audit.csv", **where)}  # fmt: skip
    try:
        found = audit_log.page_of(_wanted(asked), after)
    except Rejected as rejection:
        if wants_json():
            raise
        context |= {"fault": message(rejection.code, **rejection.facts), "has_errors": True}
        found = audit_log.Found([])
    context["following"] = with_query("/admin/audit", **where, after=found.after) if found.after else None
    facts: dict[str, Any] = {
        "events": log_facts(found.events),
        "after": found.after,
        "searched_until": found.searched_until,
    }
    answer = respond(PAGE, context=context, **facts)
    answer.status_code = 400 if context["fault"] else 200
    return answer


@bp.get("/audit.csv")
def export_audit() -> Response:
    """Export the matching events as CSV, newest first. The export itself is recorded as an event."""
    asked = _asked()
    wanted = _wanted(asked)
    if request.method != "HEAD":
        record_action(
            "audit_exported", autocommit=True, filters={name: value for name, value in asked.items() if value}
        )
    answer = Response(_lines(this_app(), wanted), mimetype="text/csv")
    name = f"audit-{now():%Y-%m-%d}.csv"
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def _lines(app: Flask, wanted: EventFilter) -> Iterator[str]:
    """Yield the lines of an export in batches. No transaction stays open between batches."""
    yield _as_csv([audit_log.COLUMNS])
    after: str | None = ""
    while after is not None:
        with app.app_context():
            found = audit_log.page_of(wanted, after, most=audit_log.BATCH)
            people = accounts_of(event.user_id for event in found.events)
            rows = [
                audit_log.cells(event, people.get(event.user_id or 0), orjson.dumps(event.facts).decode())
                for event in found.events
            ]
        after = found.after
        if rows:
            yield _as_csv(rows)


def _as_csv(rows: Any) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _asked() -> dict[str, str]:
    asked = {name: request.args.get(name, "").strip() for name in FILTERS}
    if "\x00" in "".join(asked.values()):
        raise Rejected("api_error")
    return asked


def _wanted(asked: dict[str, str]) -> EventFilter:
    """Parse the filters of a query.

    :raises Rejected: ``person_unknown`` or ``date_invalid`` on the filter
    """
    by_operator = asked["actor"].lower() == OPERATOR
    last = _day(asked, "to")
    return EventFilter(
        name=asked["event"].lower().removesuffix("*"),
        person=_account(asked, "person"),
        actor=None if by_operator else _account(asked, "actor"),
        by_operator=by_operator,
        support_id=as_support_id(asked["support_id"]),
        address=asked["address"],
        since=_day(asked, "from"),
        before=last + timedelta(days=1) if last else None,
    )


def _account(asked: dict[str, str], field: str) -> User | None:
    text = asked[field].removeprefix("admin:")
    if not text:
        return None
    return people.find_account(text, field)


def _day(asked: dict[str, str], field: str) -> datetime | None:
    """Return the start of the requested day, in UTC."""
    if not asked[field]:
        return None
    try:
        day = date.fromisoformat(asked[field])
        if day.year >= date.max.year:
            raise ValueError
    except ValueError:
        raise Rejected("date_invalid", field=field) from None
    return datetime.combine(day, time.min, UTC)
