"""The device flow (RFC 8628): /oauth/device, where a device starts it, and /device, where the user decides."""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request, g, request

from app.audit import record
from app.errors import ReauthenticationRequired, Rejected
from app.extensions import settings
from app.login.presenters import label_of
from app.oidc import bp, client_documents, device_approval, devices, dpop
from app.oidc.authorization import scopes_of, thumbprint_of
from app.oidc.client_auth import authenticate, limit_public, named_client
from app.oidc.clients import DEVICE_CODE
from app.oidc.device_approval import PendingDevice
from app.oidc.errors import OAuthError, json_response
from app.oidc.forms import DeviceDecisionForm, DeviceForm
from app.oidc.parameters import form_fields
from app.oidc.presenters import consent_facts, device_facts
from app.oidc.resources import resources_of
from app.sessions.models import AuthSession
from app.sessions.store import current_session, revoke_current_session
from app.users import identities_of
from app.web.access import login_required
from app.web.client import present_client
from app.web.commit import view_commit
from app.web.errors import error_answer
from app.web.messages import message
from app.web.redirects import with_query
from app.web.respond import respond, wants_json

VERIFICATION_PATH = "/device"
"""Page where users enter the code."""

PAGE = "/device"
CODE_PAGE = "oidc/device.html"


@bp.post("/oauth/device")
def authorize_device() -> Response:
    """Issue a code for the device to show, and one to poll for its tokens with (sections 3.1 and 3.2)."""
    after_this_request(view_commit)
    fields = form_fields()
    client_documents.require_ready(named_client(fields), g.client_address)
    client = authenticate(fields)
    if DEVICE_CODE not in client.grant_types:
        raise OAuthError("unauthorized_client", "The client is not registered for the device code.")
    limit_public(client)
    scopes, (resource, _) = scopes_of(fields, client), resources_of(fields, client)
    jkt = dpop.requested_key(thumbprint_of(fields))
    codes = devices.start(client, scopes, resource, jkt, present_client())
    page, shown = settings.public_url + VERIFICATION_PATH, devices.format_user_code(codes.user_code)
    facts: dict[str, object] = {
        "device_code": codes.device_code,
        "user_code": shown,
        "verification_uri": page,
        "verification_uri_complete": with_query(page, user_code=shown),
        "expires_in": int(devices.LIFETIME.total_seconds()),
        "interval": devices.INTERVAL,
    }
    return json_response(facts)


@bp.get("/device")
@login_required
def device_page() -> Response:
    """Ask for the code that a device shows, prefilled if it is in the URL."""
    user_code = devices.read_user_code(request.args.get("user_code", "")) or ""
    return respond(
        CODE_PAGE, DeviceForm(), context=_code_context(devices.format_user_code(user_code) if user_code else "")
    )


@bp.post("/device")
@login_required
def look_at_device() -> Response:
    """Show which device has this code, and ask whether it may sign in."""
    after_this_request(view_commit)
    form = DeviceForm()
    if form.validate():
        with form.collecting_errors():
            device = _pending_device(form)
            return _blocking_response(device) or _consent_response(device)
    return respond(CODE_PAGE, form, context=_code_context(form.user_code.data or ""))


@bp.post("/device/consent")
@login_required
def decide_about_device() -> Response:
    """Record whether the user lets the device sign in."""
    after_this_request(view_commit)
    form = DeviceDecisionForm()
    if form.validate():
        with form.collecting_errors():
            allows = form.allow.data == "yes"
            device = _pending_device(form, decides=allows)
            if allows and (blocking := _blocking_response(device)) is not None:
                return blocking
            device_approval.decide(device, allows=allows)
            shown = consent_facts(device.authorization, device.situation.relation, device.scopes) | _code_context("")
            return respond("oidc/device_done.html", context=shown, allowed=allows)
    return respond(CODE_PAGE, form, context=_code_context(form.user_code.data or ""))


@bp.post("/device/account")
@login_required
def use_another_account() -> Response:
    """Sign out, and continue with the same code in another account."""
    after_this_request(view_commit)
    form = DeviceForm()
    if not form.validate():
        return respond(CODE_PAGE, form, context=_code_context(form.user_code.data or ""))
    user_code = devices.read_user_code(form.user_code.data) or ""
    if (session := revoke_current_session()) is not None:
        record("session.ended", session.user_id, reason="signed_out")
    return respond(see_other=with_query(PAGE, user_code=devices.format_user_code(user_code)) if user_code else PAGE)


def _pending_device(form: DeviceForm, *, decides: bool | None = None) -> PendingDevice:
    """Return the device whose code was sent, like ``device_approval.look_up``. Raises Rejected for API tokens too."""
    session = current_session()
    if session is None or session.kind != "browser":
        raise Rejected("token_not_accepted", status=403)
    return device_approval.look_up(form.user_code.data, session, present_client().ip_address, decides=decides)


def _blocking_response(device: PendingDevice) -> Response | None:
    """Return the page for what the user has to do first, or saying that they may not use the app.

    None if they can decide now.

    :raises ReauthenticationRequired: if they have to reauthenticate, or a JSON request needs a second factor
    """
    step, back = device.step, with_query(PAGE, user_code=device.user_code)
    if step == "confirm" or (step == "second_factor" and wants_json()):
        raise ReauthenticationRequired(too_weak=step == "second_factor", back=back)
    client, session = device.authorization.client, device.situation.session
    if step == "second_factor":
        return respond("second_factor.html", context=_page_context(device))
    if step == "not_allowed":
        record("app.not_allowed", session.user_id, client=client.id, app=client.name)
        if wants_json():
            return error_answer(403, message("app_not_allowed", app=client.name))
        answer = respond("oidc/not_allowed.html", context=_page_context(device))
        answer.status_code = 403
        return answer
    return None


def _consent_response(device: PendingDevice) -> Response:
    """Ask whether the device may sign in."""
    shown, facts = _page_context(device), device_facts(device.row)
    app: dict[str, Any] = {"id": device.authorization.client.id} | {
        name: shown["app"][name] for name in ("name", "host", "is_vetted")
    }
    if wants_json():
        return respond(
            app=app, scopes=device.scopes, services=shown["services"], device=facts, user_code=device.user_code
        )
    return respond("oidc/device_consent.html", context=shown | {"device": facts})


def _page_context(device: PendingDevice) -> dict[str, Any]:
    """Return what every page shows about a device's app, and the links back to that page."""
    facts = consent_facts(device.authorization, device.situation.relation, device.scopes)
    return facts | _code_context(device.user_code) | {
        "back": with_query(PAGE, user_code=device.user_code),
        "account_form": {"action": "/device/account", "field": "user_code", "value": device.user_code},
    }  # fmt: skip


def _code_context(user_code: str) -> dict[str, Any]:
    session: AuthSession | None = current_session()
    label = label_of(identities_of(session.user_id)) if session is not None and not wants_json() else ""
    return {"user_code": user_code, "user_label": label}
