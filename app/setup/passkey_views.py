"""/wan-register, /wan-rename and /wan-delete: the user's passkeys; and well-known URLs for password managers."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response, abort, after_this_request, redirect
from flask_login import current_user

from app.authenticators.models import Passkey
from app.authenticators.webauthn.challenges import state_of, transports_of
from app.authenticators.webauthn.passkeys import passkeys_of
from app.extensions import settings
from app.login.freshness import require_fresh, require_recent
from app.login.presenters import label_of, needed_for_changes
from app.sessions.models import AuthSession
from app.sessions.store import current_session
from app.setup import bp, passkeys
from app.setup.forms import PasskeyResponseForm, RegisterPasskeyForm, RemoveForm, RenameForm
from app.setup.presenters import passkeys_context
from app.setup.recovery_codes import page_after
from app.users import identities_of
from app.web.access import login_required
from app.web.client import client_context
from app.web.commit import view_commit
from app.web.respond import SET_UP, flash_message, respond, wants_json

PAGE = "setup/passkeys.html"
HOME = "/wan-register"


@bp.get("/wan-register")
@login_required
def wan_register_page() -> Response:
    """List the user's passkeys."""
    if wants_json():
        require_recent(current_session())
    mine = passkeys_of(current_user.id)
    return respond(
        PAGE, RegisterPasskeyForm(), context=_page(mine), registered_credentials=[_credential(key) for key in mine]
    )


@bp.post("/wan-register")
@login_required
def wan_register() -> Response:
    """Start creating a passkey."""
    after_this_request(view_commit)
    form = RegisterPasskeyForm()
    (require_recent if form.usage.data == "first" else require_fresh)(current_session())
    if form.validate():
        with form.collecting_errors():
            named, usage = form.name.data if form.name.raw_data else None, form.usage.data
            ceremony, options = passkeys.begin(current_user, _session(), named, usage, client_context())
            state = state_of(ceremony)
            return respond(PAGE, form, context=_page(making=state), credential_options=options, wan_state=state)
    return respond(PAGE, form, context=_page())


@bp.post("/wan-register/<state>")
@login_required
def wan_register_response(state: str) -> Response:
    """Store the passkey that the browser created."""
    after_this_request(view_commit)
    form = PasskeyResponseForm()
    if form.validate():
        with form.collecting_errors():
            passkeys.finish(current_user, _session(), state, form.credential.data, client_context())
            flash_message("webauthn_added", SET_UP)
            go = HOME if wants_json() else page_after(current_user, _session(), Passkey.method, HOME)
            return respond(go=go)
    return respond(PAGE, form, context=_page())


@bp.post("/wan-rename")
@login_required
def wan_rename() -> Response:
    """Rename a passkey."""
    after_this_request(view_commit)
    require_fresh(current_session())
    form = RenameForm()
    if form.validate():
        with form.collecting_errors():
            passkeys.rename(current_user, _session(), form.name.data, form.new_name.data)
            flash_message("webauthn_renamed")
            return respond(go=HOME)
    return respond(PAGE, form, context=_page())


@bp.get("/wan-delete")
@login_required
def wan_delete_page() -> Response:
    """Redirect browsers to the list; give API clients the CSRF token for the POST."""
    return respond() if wants_json() else redirect(HOME)  # type: ignore[return-value]


@bp.post("/wan-delete")
@login_required
def wan_delete() -> Response:
    """Remove a passkey."""
    after_this_request(view_commit)
    require_fresh(current_session())
    form = RemoveForm()
    if form.validate():
        with form.collecting_errors():
            passkeys.remove(current_user, _session(), form.name.data, client_context())
            flash_message("webauthn_removed")
            return respond(go=HOME)
    return respond(PAGE, form, context=_page())


def _session() -> AuthSession:
    session = current_session()
    assert session is not None  # guaranteed by login_required
    return session


def _credential(key: Passkey) -> dict[str, Any]:
    return {
        "name": key.name,
        "credential_id": key.credential_id,
        "transports": transports_of(key),
        "lastuse": key.last_used_at or key.created_at,
        "usage": key.usage,
        "backup_state": key.backup_state,
        "device_type": key.device_type,
        "discoverable": "Unknown" if key.discoverable is None else key.discoverable,
        "created": key.created_at,
    }


def _page(mine: list[Passkey] | None = None, making: str = "") -> dict[str, Any]:
    """Return the page's context; empty for API clients."""
    if wants_json():
        return {}
    label = label_of(identities_of(current_user.id))
    more = {"making": making, "user_label": label, "needed": needed_for_changes(_session())}
    return passkeys_context(current_user, mine) | more


@bp.get("/.well-known/webauthn")
def related_origins() -> Response:
    """List the origins that may use this domain's passkeys, for browsers (Web Authentication, section 5.11)."""
    return _public_json({"origins": list(settings.webauthn_origins)})


@bp.get("/.well-known/passkey-endpoints")
def passkey_endpoints() -> Response:
    """List the pages to create and manage passkeys (W3C, A Well-Known URL for Passkey Endpoints)."""
    page = f"{settings.public_url}/wan-register"
    return _public_json({"enroll": page, "manage": page})


def _public_json(data: dict[str, Any]) -> Response:
    """Respond to any origin, without our envelope: a standard defines the format. 404 if passkeys are disabled."""
    if not settings.can_use_passkeys:
        abort(404)
    response = Response(orjson.dumps(data), mimetype="application/json")
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response
