"""/admin: the console's home page, with what needs an administrator's attention.

It runs those checks of ``flask doctor`` that are fast.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from flask import Response, request

from app import clock
from app.admin import bp, outbox_list
from app.admin.people import AccountFilter, page_of
from app.admin.presenters import page_facts
from app.admin.statistics import SPANS, activity, charts_of
from app.authenticators.keys import keys_in_use
from app.db import clock_sync
from app.extensions import keyring
from app.outbox import jobs, providers
from app.outbox.models import ABANDONED
from app.web.respond import respond, wants_json
from app.webhooks import endpoints
from app.webhooks.delivery import FAILING, GONE

NEWEST = 5
"""Number of accounts shown."""

COMMANDS = {"no_worker": "flask worker", "old_key": "flask keys rotate"}
"""Command that fixes a problem, by the problem's code."""

LATE = timedelta(minutes=1)
"""A message overdue by more than this was missed, or the workers can't keep up."""

DESTINATIONS = 3
"""Maximum number of mail domains listed."""


@bp.get("")
def overview() -> Response:
    """Show what needs attention, recent activity, and new accounts."""
    counted = activity(request.args.get("span", ""))
    newest, _ = page_of(AccountFilter())
    context = page_facts()
    if not wants_json():
        context |= {"charts": charts_of(counted), "spans": tuple(SPANS), "commands": COMMANDS}
    facts: dict[str, Any] = {"attention": attention(), "activity": counted, "newest": newest[:NEWEST]}
    return respond("admin/overview.html", context=context, **facts)


def attention() -> list[dict[str, Any]]:
    """Return what needs attention, most urgent first: a ``code`` and its details.

    ``no_worker``, ``workers_late`` (``since``, ``count``, and ``more`` when there are more than that), ``key_missing``
    (``key``), ``clock_off`` (``seconds``), ``provider_fails`` (``channel``, ``provider``, ``reason``, ``since``),
    ``retrying`` (``destination``, ``count``, ``reason``), ``given_up`` (``count``, ``more``), ``webhook_disabled`` and
    ``webhook_failing`` (``endpoint``, ``reason``, ``since``), and ``old_key`` (``key``).
    """
    in_use = keys_in_use()
    return [
        *_workers(),
        *({"code": "key_missing", "key": kid} for kid in sorted(in_use.difference(keyring.kids))),
        *_clock(),
        *_messages(),
        *_webhooks(),
        *({"code": "old_key", "key": kid} for kid in keyring.kids if kid in in_use and kid != keyring.kid),
    ]


def _workers() -> Iterator[dict[str, Any]]:
    if not jobs.count_workers():
        yield {"code": "no_worker"}
    waiting = outbox_list.count_of(outbox_list.MessageFilter(outbox_list.WAITING))
    since = outbox_list.oldest_of(outbox_list.WAITING, waiting)
    if waiting.more or (since and clock.now() - since > LATE):
        yield {"code": "workers_late", "since": since, "count": waiting.count, "more": waiting.more}


def _clock() -> Iterator[dict[str, Any]]:
    if abs(clock.correction()) > clock_sync.WARNING_DIFFERENCE:
        yield {"code": "clock_off", "seconds": round(abs(clock.correction()), 1)}


def _messages() -> Iterator[dict[str, Any]]:
    for provider in providers.failing():
        about = {"channel": provider.channel, "provider": provider.name, "reason": provider.reason}
        yield {"code": "provider_fails", "since": provider.failed_at} | about
    for each in outbox_list.destinations_of(outbox_list.MessageFilter(outbox_list.RETRYING), DESTINATIONS):
        yield {"code": "retrying"} | each
    given_up = outbox_list.count_of(outbox_list.MessageFilter(ABANDONED))
    if given_up.count:
        yield {"code": "given_up", "count": given_up.count, "more": given_up.more}


def _webhooks() -> Iterator[dict[str, Any]]:
    for each in endpoints.all_endpoints():
        about = {"endpoint": each.id, "reason": each.last_error, "since": each.disabled_at or each.failing_since}
        if each.disabled_reason in (GONE, FAILING):
            yield {"code": "webhook_disabled"} | about
        elif each.failing_since and each.disabled_at is None:
            yield {"code": "webhook_failing"} | about
