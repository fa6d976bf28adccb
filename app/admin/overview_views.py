"""/admin: the console's first page."""

from __future__ import annotations

from flask import Response

from app.admin import bp
from app.admin.attention import attention
from app.admin.people import Wanted, page_of
from app.admin.presenters import page_facts
from app.web.respond import respond

NEWEST = 5
"""Accounts shown."""


@bp.get("")
def overview() -> Response:
    """Show what an administrator looks at first."""
    newest, _ = page_of(Wanted())
    return respond("admin/overview.html", shown=page_facts(), newest=newest[:NEWEST], attention=attention())
