"""/admin/webhooks: webhook endpoints, their deliveries, and retries."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from flask import Response, after_this_request, request
from markupsafe import Markup

from app import clock
from app.admin import bp
from app.admin.access import actor, record_action
from app.admin.forms import ConfirmForm, WebhookForm
from app.admin.presenters import answers_without_page, page_facts
from app.errors import Rejected
from app.i18n import gettext
from app.web.commit import view_commit
from app.web.forms import BaseForm, ButtonForm
from app.web.redirects import with_query
from app.web.respond import flash_message, respond, wants_json
from app.webhooks import endpoints, event_types
from app.webhooks.models import STATES, WebhookDelivery, WebhookEndpoint

LIST = "admin/webhooks.html"
PAGE = "admin/webhook.html"
FORM_ERRORS = "errors/form.html"

OVERLAP = timedelta(hours=24)
"""How long a replaced secret is still used to sign."""

SHOWN = 50
"""Deliveries per page."""


@bp.get("/webhooks")
def webhooks() -> Response:
    """List endpoints, with the number of events waiting for each."""
    return _list()


@bp.post("/webhooks")
def create_webhook() -> Response:
    """Add an endpoint. Only this response contains its secret."""
    after_this_request(view_commit)
    form = WebhookForm()
    if form.validate():
        with form.collecting_errors():
            endpoint, secret = endpoints.create(str(form.url.data), form.patterns(), by=actor())
            record_action("webhook_created", endpoint.id)
            return _page(endpoint, secret=secret)
    return _list(form)


@bp.get("/webhooks/<endpoint_id>")
def webhook(endpoint_id: str) -> Response:
    """Show an endpoint and its deliveries, newest first."""
    return _page(_endpoint_or_404(endpoint_id))


@bp.post("/webhooks/<endpoint_id>/rotate-secret")
def rotate_webhook_secret(endpoint_id: str) -> Response:
    """Give an endpoint a new secret. Only this response contains it. The old one keeps signing for a day."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        with form.collecting_errors():
            secret = endpoints.rotate_secret(_endpoint_or_404(endpoint_id).id, OVERLAP, by=actor())
            record_action("webhook_secret_rotated", endpoint_id)
            return _page(_endpoint_or_404(endpoint_id), secret=secret)
    return respond(FORM_ERRORS, form)


@bp.post("/webhooks/<endpoint_id>/disable")
def disable_webhook(endpoint_id: str) -> Response:
    """Stop posting to an endpoint. Pending deliveries are sent if it is enabled again within 5 days."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        if endpoints.disable(_endpoint_or_404(endpoint_id).id, by=actor()):
            record_action("webhook_disabled", endpoint_id)
        return _done(endpoint_id, "webhook_is_disabled")
    return respond(FORM_ERRORS, form)


@bp.post("/webhooks/<endpoint_id>/enable")
def enable_webhook(endpoint_id: str) -> Response:
    """Resume posting events to an endpoint."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        if endpoints.enable(_endpoint_or_404(endpoint_id).id, by=actor()):
            record_action("webhook_enabled", endpoint_id)
        return _done(endpoint_id, "webhook_is_enabled")
    return respond(FORM_ERRORS, form)


@bp.post("/webhooks/<endpoint_id>/test")
def test_webhook(endpoint_id: str) -> Response:
    """Queue a ``webhook.test`` event, which a worker posts."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        row = endpoints.queue_test(_endpoint_or_404(endpoint_id).id)
        record_action("webhook_tested", endpoint_id)
        return _done(endpoint_id, "webhook_test_queued", delivery=row.id)
    return respond(FORM_ERRORS, form)


@bp.post("/webhooks/<endpoint_id>/retry")
def retry_webhook(endpoint_id: str) -> Response:
    """Retry every failed delivery of an endpoint."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        again = endpoints.retry_failed(_endpoint_or_404(endpoint_id).id)
        record_action("webhook_retried", endpoint_id, deliveries=again)
        return _done(endpoint_id, "webhook_retried", retried=again)
    return respond(FORM_ERRORS, form)


@bp.post("/webhooks/<endpoint_id>/delete")
def delete_webhook(endpoint_id: str) -> Response:
    """Delete an endpoint, its secret, and its pending deliveries."""
    after_this_request(view_commit)
    form = ConfirmForm()
    if form.validate():
        endpoint = _endpoint_or_404(endpoint_id)
        if not form.sure.data:
            form.add_error(Rejected("person_unsure", field="sure"))
            return respond(FORM_ERRORS, form) if wants_json() else _page(endpoint, form)
        endpoints.delete(endpoint_id, by=actor())
        record_action("webhook_deleted", endpoint_id)
        flash_message("webhook_is_deleted")
        return respond(go="/admin/webhooks")
    return respond(FORM_ERRORS, form)


def _endpoint_or_404(endpoint_id: str) -> WebhookEndpoint:
    if "\x00" in endpoint_id or len(endpoint_id) > 32:  # PostgreSQL rejects NUL
        raise Rejected("webhook_unknown", status=404)
    return endpoints.get_endpoint(endpoint_id)


def _list(form: WebhookForm | None = None) -> Response:
    if form is not None and answers_without_page():
        return respond(FORM_ERRORS, form)
    found = [
        _endpoint_facts(each.endpoint) | {"waiting": each.waiting, "abandoned": each.abandoned}
        for each in endpoints.health()
    ]
    types = [(each.name, _with_code(gettext(each.description))) for each in event_types.ALL]
    context = {} if wants_json() else {"types": types}
    return respond(LIST, form or WebhookForm(), context=page_facts() | context, endpoints=found)


def _with_code(text: str) -> Markup:
    """Return text as HTML, with backticks turned into ``<code>``."""
    parts = enumerate(text.split("`"))
    return Markup().join(Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in parts)


def _page(endpoint: WebhookEndpoint, form: BaseForm | None = None, secret: str | None = None) -> Response:
    state, before = request.args.get("state", ""), request.args.get("before", "")
    if state not in ("", *STATES) or not (before == "" or (before.isascii() and before.isdigit() and len(before) < 19)):
        raise Rejected("api_error")
    rows = endpoints.deliveries(
        endpoint_id=endpoint.id, states=[state] if state else [], before=int(before or 0), limit=SHOWN + 1
    )
    place = f"/admin/webhooks/{endpoint.id}"
    kept = {"state": state} if state else {}
    following = str(rows[SHOWN - 1].id) if len(rows) > SHOWN else None
    context: dict[str, Any] = page_facts() | {
        "state": state,
        "states": STATES,
        "following": with_query(place, **kept, before=following) if following else None,
        "begin": with_query(place, **kept) if before else None,
    }
    facts: dict[str, Any] = {"endpoint": _endpoint_facts(endpoint), "before": following}
    facts["deliveries"] = [_delivery_facts(row) for row in rows[:SHOWN]]
    if secret:
        facts["secret"] = secret
    return respond(PAGE, form, context=context, **facts)


def _done(endpoint_id: str, code: str, **facts: Any) -> Response:
    flash_message(code)
    return respond(go=f"/admin/webhooks/{endpoint_id}", **facts)


def _endpoint_facts(endpoint: WebhookEndpoint) -> dict[str, Any]:
    overlaps = endpoint.old_secret_until is not None and endpoint.old_secret_until > clock.now()
    return {
        "id": endpoint.id,
        "url": _without_query(endpoint.url),
        "events": endpoint.pattern_list,
        "enabled": endpoint.disabled_at is None,
        "disabled_reason": endpoint.disabled_reason or None,
        "created_at": endpoint.created_at,
        "last_sent_at": endpoint.last_sent_at,
        "failing_since": endpoint.failing_since,
        "failures": endpoint.failures,
        "last_error": endpoint.last_error or None,
        "old_secret_signs_until": endpoint.old_secret_until if overlaps else None,
    }


def _delivery_facts(each: WebhookDelivery) -> dict[str, Any]:
    return {
        "id": each.id,
        "webhook_id": each.message_id,
        "type": each.type,
        "at": each.at,
        "state": each.state,
        "attempts": each.attempts,
        "next_attempt_at": each.next_attempt_at,
        "last_attempt_at": each.last_attempt_at,
        "last_status": each.last_status,
        "last_error": each.last_error or None,
        "subject": each.subject,
    }


def _without_query(url: str) -> str:
    """Return a URL without its query string, where receivers put their own secrets."""
    parts = urlsplit(url)
    return parts._replace(query="...").geturl() if parts.query else url
