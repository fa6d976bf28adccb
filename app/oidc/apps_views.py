"""/apps: the apps a user can open, and those that have access to their account."""

from __future__ import annotations

from typing import Any

from flask import Response, abort, after_this_request
from flask_login import current_user

from app.login.presenters import label_of
from app.oidc import apps, bp
from app.oidc.client_file import LOGOS, find_logo
from app.oidc.forms import AppForm
from app.oidc.presenters import access_facts, app_to_open, describe_scopes, look_of
from app.users import identities_of
from app.web.access import login_required
from app.web.commit import view_commit
from app.web.respond import file_response, flash_message, respond, wants_json


@bp.get("/apps")
@login_required
def apps_page() -> Response:
    """List the apps of the account."""
    to_open, having = apps.apps_of(current_user.id)
    facts: dict[str, Any] = {
        "apps": [app_to_open(entry) for entry in to_open],
        "access": [access_facts(access) for access in having],
    }
    shown: dict[str, Any] = {}
    if not wants_json():
        of_access = {access.id: look_of(access.id, access.name) for access in having}
        shown = {
            "looks": of_access,
            "to_open": to_open,
            "can": {each.id: [text for _, text in describe_scopes(each.scopes)] for each in having},
            "user_label": label_of(identities_of(current_user.id)),
        }
    return respond("oidc/apps.html", context=shown, **facts)


@bp.post("/apps/remove")
@login_required
def remove_app() -> Response:
    """Revoke an app's access. Needs no reauthentication, since it only ever removes access."""
    after_this_request(view_commit)
    form = AppForm()
    if form.validate():
        name = apps.remove(current_user.id, form.client.data)
        if name is not None:
            flash_message("app_removed", app=name)
        return respond(go="/apps", removed=name is not None)
    return respond("errors/form.html", form)


@bp.get(f"{LOGOS}/<name>")
def app_logo(name: str) -> Response:
    """Serve the logo of an app in the clients file."""
    image = find_logo(name)
    if image is None:
        abort(404)
    return file_response(image.data, image.media_type)
