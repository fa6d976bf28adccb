"""/admin: the console's first page."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from app.admin import bp
from app.admin.attention import attention
from app.admin.charts import SPANS, activity, charts_of
from app.admin.people import Wanted, page_of
from app.admin.presenters import page_facts
from app.web.respond import respond, wants_json

NEWEST = 5
"""Accounts shown."""

COMMANDS = {"no_worker": "flask worker", "old_key": "flask keys rotate"}
"""What an operator runs, by the code of what needs attention."""


@bp.get("")
def overview() -> Response:
    """Show what an administrator looks at first: what needs attention, what went on, and who is new."""
    counted = activity(request.args.get("span", ""))
    newest, _ = page_of(Wanted())
    shown = page_facts()
    if not wants_json():
        shown |= {"charts": charts_of(counted), "spans": tuple(SPANS), "commands": COMMANDS}
    facts: dict[str, Any] = {"attention": attention(), "activity": counted, "newest": newest[:NEWEST]}
    return respond("admin/overview.html", shown=shown, **facts)
