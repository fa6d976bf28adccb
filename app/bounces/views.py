"""/hooks/mail/...: webhooks of mail providers for bounces and complaints."""

from __future__ import annotations

from http import HTTPStatus
from types import ModuleType

import orjson
import structlog
from flask import Flask, Response, abort, after_this_request, request

from app.bounces import bp, mailgun, postmark, sendgrid, ses
from app.bounces.payloads import Refused
from app.outbox import suppressions
from app.web.commit import view_commit
from app.web.errors import answer_by

PROVIDERS: dict[str, ModuleType] = {each.NAME: each for each in (postmark, ses, mailgun, sendgrid)}

PLACE = "/hooks/mail"

MAX_BODY_BYTES = 2 * 1024 * 1024
"""Maximum body size in bytes. SendGrid posts up to a thousand events at once."""

log = structlog.get_logger()


@bp.post(f"{PLACE}/<provider>")
def mail_events(provider: str) -> Response:
    """Accept reports from a mail provider. Events that are neither bounces nor complaints get 200 as well."""
    after_this_request(view_commit)
    reader = PROVIDERS.get(provider)
    if reader is None or not reader.is_set_up():
        abort(404)
    request.max_content_length = MAX_BODY_BYTES
    try:
        reports = reader.read(request)
    except Refused as refusal:
        log.warning("bounces.refused", provider=provider, reason=refusal.reason, status=refusal.status)
        return _refused(refusal)
    taken = suppressions.take(reports)
    log.info("bounces.taken", provider=provider, reports=len(reports), new=taken)
    return _json({"reports": len(reports)}, 200)


def init_app(app: Flask) -> None:
    """Return errors as JSON, and allow larger bodies here if a provider is configured."""
    with app.app_context():
        if any(each.is_set_up() for each in PROVIDERS.values()):
            app.config.setdefault("BODY_LIMITS", {})[PLACE] = MAX_BODY_BYTES
    answer_by(app, (PLACE,), lambda status: _json({"error": HTTPStatus(status).phrase}, status))


def _refused(refusal: Refused) -> Response:
    answer = _json({"error": refusal.reason}, refusal.status)
    if refusal.status == 401:
        answer.headers["WWW-Authenticate"] = 'Basic realm="Latchkey", charset="UTF-8"'
    if refusal.status == 503:
        answer.headers["Retry-After"] = "10"
    return answer


def _json(facts: dict[str, object], status: int) -> Response:
    answer = Response(orjson.dumps(facts), status, mimetype="application/json")
    answer.headers["Cache-Control"] = "no-store"
    return answer
