"""/hooks/mail/...: webhooks of mail providers for bounces and complaints."""

from __future__ import annotations

from http import HTTPStatus
from types import ModuleType

import orjson
import structlog
from flask import Flask, Response, abort, after_this_request, request

from app.bounces import bp, mailgun, postmark, sendgrid, ses
from app.bounces.payloads import WebhookRejected
from app.outbox import suppressions
from app.web.commit import view_commit
from app.web.errors import register_error_format

PROVIDERS: dict[str, ModuleType] = {each.NAME: each for each in (postmark, ses, mailgun, sendgrid)}

URL_PREFIX = "/hooks/mail"

MAX_BODY_BYTES = 2 * 1024 * 1024
"""Maximum body size in bytes. SendGrid posts up to a thousand events at once."""

log = structlog.get_logger()


@bp.post(f"{URL_PREFIX}/<provider>")
def mail_events(provider: str) -> Response:
    """Accept reports from a mail provider. Events that are neither bounces nor complaints get 200 as well."""
    after_this_request(view_commit)
    provider_module = PROVIDERS.get(provider)
    if provider_module is None or not provider_module.is_set_up():
        abort(404)
    request.max_content_length = MAX_BODY_BYTES
    try:
        reports = provider_module.read(request)
    except WebhookRejected as rejection:
        log.warning("bounces.refused", provider=provider, reason=rejection.reason, status=rejection.status)
        return _rejected(rejection)
    new = suppressions.process_reports(reports)
    log.info("bounces.taken", provider=provider, reports=len(reports), new=new)
    return _json({"reports": len(reports)}, 200)


def init_app(app: Flask) -> None:
    """Return errors as JSON, and allow larger bodies here if a provider is configured."""
    with app.app_context():
        if any(each.is_set_up() for each in PROVIDERS.values()):
            app.config.setdefault("BODY_LIMITS", {})[URL_PREFIX] = MAX_BODY_BYTES
    register_error_format(app, (URL_PREFIX,), lambda status: _json({"error": HTTPStatus(status).phrase}, status))


def _rejected(rejection: WebhookRejected) -> Response:
    response = _json({"error": rejection.reason}, rejection.status)
    if rejection.status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="Latchkey", charset="UTF-8"'
    if rejection.status == 503:
        response.headers["Retry-After"] = "10"
    return response


def _json(facts: dict[str, object], status: int) -> Response:
    response = Response(orjson.dumps(facts), status, mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
