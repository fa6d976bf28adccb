"""/admin/outbox: messages that are waiting or were given up, and retrying them."""

from __future__ import annotations

import re
from typing import Any

from flask import Response, after_this_request, request

from app.admin import bp, outbox_list
from app.admin.access import record_action
from app.admin.forms import RetryForm
from app.admin.outbox_list import CHANNELS, GROUPS, MessageFilter
from app.admin.presenters import answers_without_page, page_facts
from app.crypto.secrets import is_row_id
from app.errors import Rejected
from app.outbox.models import ABANDONED
from app.outbox.service import wake_after_commit
from app.web.commit import view_commit
from app.web.forms import BaseForm, ButtonForm
from app.web.redirects import with_query
from app.web.respond import flash_message, respond

PAGE = "admin/outbox.html"
_DESTINATION = re.compile(r"[^\s\x00]{0,254}\Z")


@bp.get("/outbox")
def outbox() -> Response:
    """List the messages of a group, and count the messages of every group."""
    return _page()


@bp.post("/outbox/retry")
def retry_messages() -> Response:
    """Retry messages that were given up: all of them, or those of a channel or destination."""
    after_this_request(view_commit)
    form = RetryForm()
    if form.validate():
        with form.collecting_errors():
            asked = {"channel": form.channel.data or "", "destination": form.destination.data or ""}
            wanted = _wanted(asked | {"group": ABANDONED})
            retried = outbox_list.retry(None, wanted)
            if retried:
                wake_after_commit()
                record_action(
                    "messages_retried", messages=retried, **{name: value for name, value in asked.items() if value}
                )
            more = retried == outbox_list.RETRIED_AT_ONCE
            flash_message("messages_retried_more" if more else "messages_retried", count=retried)
            return respond(go="/admin/outbox", retried=retried, more=more)
    return _page(form)


@bp.post("/outbox/<message_id>/retry")
def retry_message(message_id: str) -> Response:
    """Retry one message that was given up."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        if not is_row_id(message_id):
            raise Rejected("not_found", status=404)
        with form.collecting_errors():
            retried = outbox_list.retry([message_id], MessageFilter(ABANDONED))
            if not retried:
                raise Rejected("message_not_retried", status=409)
            wake_after_commit()
            record_action("messages_retried", message_id, messages=retried)
            flash_message("messages_retried", count=retried)
            return respond(go="/admin/outbox", retried=retried, more=False)
    return _page(form)


def _wanted(asked: dict[str, str]) -> MessageFilter:
    """Validate a list's filters.

    :raises Rejected: ``api_error`` on an invalid filter
    """
    if asked["group"] not in GROUPS:
        raise Rejected("api_error", field="state")
    if asked["channel"] not in ("", *CHANNELS):
        raise Rejected("api_error", field="channel")
    if not _DESTINATION.match(asked["destination"]):
        raise Rejected("api_error", field="destination")
    return MessageFilter(asked["group"], asked["channel"], asked["destination"])


def _page(form: BaseForm | None = None) -> Response:
    """Show the list the query selects, by default the first group that has messages."""
    if form and answers_without_page():
        return respond("errors/form.html", form)
    query: Any = {} if form else request.args
    asked = {name: query.get(name, "").strip() for name in ("state", "channel", "destination")}
    asked["destination"] = asked["destination"].lower() if "app:" not in asked["destination"] else asked["destination"]
    counts = {group: outbox_list.count_of(MessageFilter(group)) for group in GROUPS}
    state = asked.pop("state") or next((group for group in GROUPS if counts[group].count), ABANDONED)
    wanted = _wanted(asked | {"group": state})
    messages, after = outbox_list.page_of(wanted, query.get("after", ""))
    where = {name: value for name, value in ({"state": state} | asked).items() if value}
    facts: dict[str, Any] = {
        "state": state,
        "counts": {
            group: {"count": each.count, "more": each.more, "oldest_at": outbox_list.oldest_of(group, each)}
            for group, each in counts.items()
        },
        "destinations": outbox_list.destinations_of(wanted),
        "messages": [outbox_list.facts_of(message) for message in messages],
        "after": after,
    }
    context = page_facts() | {
        "asked": asked,
        "later": bool(query.get("after")),
        "groups": GROUPS,
        "channels": CHANNELS,
        "begin": with_query("/admin/outbox", **where),
        "following": with_query("/admin/outbox", **where, after=after) if after else None,
    }
    return respond(PAGE, form, context=context, **facts)
