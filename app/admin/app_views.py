"""/admin/apps: clients that sign people in through this service, and the protected apps of the apps file."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from flask import Response, after_this_request, request
from pydantic import ValidationError

from app.admin import bp
from app.admin.access import actor, record_action
from app.admin.forms import ClientForm, DeleteClientForm, NewClientForm, RotateForm
from app.admin.presenters import answers_without_page, page_facts
from app.crypto import secrets
from app.errors import Rejected
from app.extensions import db
from app.forward_auth.app_file import apps_by_host
from app.groups import service as groups
from app.oidc import client_store
from app.oidc.client_secrets import new_secret
from app.oidc.client_store import app_settings, describe, fields_of, id_for, state_of, warnings_for
from app.oidc.clients import DEVICE_CODE, Client, client_of, clients_in_memory, is_client_id
from app.oidc.models import OAuthClient
from app.web.commit import view_commit
from app.web.forms import BaseForm
from app.web.redirects import with_query
from app.web.respond import flash_message, respond, wants_json

LIST, PAGE = "admin/apps.html", "admin/app.html"
ON_PAGE = 50
"""Stored clients per page."""

KINDS = ("web", "public", "device")
"""App with a server that keeps a secret; app in a browser or on a device; app without a browser (RFC 8628)."""

OVERLAPS = {"0": timedelta(0), "1": timedelta(hours=1), "24": timedelta(hours=24), "168": timedelta(days=7)}
"""Hours during which the previous secret is still accepted."""


@bp.get("/apps")
def apps() -> Response:
    """List protected apps and clients, clients by ID with those of the clients file first."""
    return _list()


@bp.post("/apps")
def create_client() -> Response:
    """Add a client. Only this response contains its secret."""
    after_this_request(view_commit)
    form = NewClientForm()
    if form.validate():
        with form.collecting_errors():
            client, secret = _client_from_form(form)
            if client.id in clients_in_memory() or not client_store.create(client, by=actor(), secret=secret):
                raise Rejected("client_exists", field="client_id", status=409, client=client.id)
            record_action("client_created", client.id)
            return _client_page(client.id, secret=secret)
    return _list(form)


@bp.get("/apps/client")
def client() -> Response:
    """Show a client and the configuration its app needs."""
    client_id = request.args.get("id", "")
    if not client_id and not wants_json():
        return respond(go="/admin/apps")
    return _client_page(client_id)


@bp.post("/apps/client/rotate-secret")
def rotate_secret() -> Response:
    """Give a client a new secret. Only this response contains it."""
    after_this_request(view_commit)
    form = RotateForm()
    if form.validate():
        row = _editable_row(str(form.client.data))
        with form.collecting_errors():
            overlap = OVERLAPS.get(str(form.overlap.data or "24"))
            if overlap is None:
                raise Rejected("api_error", field="overlap")
            secret = client_store.rotate_secret(row.id, overlap, by=actor())
            if secret is None:
                raise Rejected("client_without_secret", status=409)
            record_action("client_secret_rotated", row.id, overlap=int(overlap.total_seconds()))
            db.session.refresh(row)
            return _client_page(row.id, secret=secret)
    return _show_errors(form)


@bp.post("/apps/client/disable")
def disable_client() -> Response:
    """Disable a client: no one can sign in to it, and its tokens are invalid."""
    after_this_request(view_commit)
    form = ClientForm()
    if form.validate():
        row = _editable_row(str(form.client.data))
        changed = client_store.set_disabled(row.id, disabled=True, by=actor())
        if changed:
            record_action("client_disabled", row.id)
        flash_message("client_disabled", client=row.id)
        return respond(go=with_query("/admin/apps/client", id=row.id), changed=changed)
    return _show_errors(form)


@bp.post("/apps/client/enable")
def enable_client() -> Response:
    """Enable a client again."""
    after_this_request(view_commit)
    form = ClientForm()
    if form.validate():
        row = _editable_row(str(form.client.data))
        changed = client_store.set_disabled(row.id, disabled=False, by=actor())
        if changed:
            record_action("client_enabled", row.id)
        flash_message("client_enabled", client=row.id)
        return respond(go=with_query("/admin/apps/client", id=row.id), changed=changed)
    return _show_errors(form)


@bp.post("/apps/client/delete")
def delete_client() -> Response:
    """Delete a client with its tokens and consents."""
    after_this_request(view_commit)
    form = DeleteClientForm()
    if form.validate():
        row = _editable_row(str(form.client.data))
        with form.collecting_errors():
            if not form.sure.data:
                raise Rejected("person_unsure", field="sure")
            client_store.delete(row.id, by=actor())
            record_action("client_deleted", row.id)
            flash_message("client_deleted", client=row.id)
            return respond(go="/admin/apps", client=row.id)
    return _show_errors(form)


def _client_from_form(form: NewClientForm) -> tuple[Client, str]:
    """Return the client described by a form and its secret, "" for a client that can't keep one.

    :raises Rejected: with the error, on its field
    """
    kind = str(form.kind.data or "web")
    if kind not in KINDS:
        raise Rejected("api_error", field="kind")
    name = str(form.name.data).strip()
    uris = tuple(form.redirect_uris.data or ())
    fields: dict[str, Any] = {"auth_method": "secret" if kind == "web" else "none", "redirect_uris": uris}
    if kind == "device":
        fields["grant_types"] = (*(("authorization_code",) if uris else ()), "refresh_token", DEVICE_CODE)
    fields["post_logout_redirect_uris"] = tuple(form.post_logout_redirect_uris.data or ())
    fields["groups"] = tuple(form.groups.data or ())
    if missing := groups.unknown_names(fields["groups"]):
        raise Rejected("unknown_group", field="groups", group=min(missing))
    fields["consent"] = "trusted" if form.trusted.data else "ask"
    client_id = str(form.client_id.data or "").strip() or id_for(name) or secrets.letters(16)
    try:
        made = Client(id=client_id, name=name, source="command", **fields)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        at = str(fault["loc"][0]) if fault["loc"] else "redirect_uris"
        field = {"id": "client_id"}.get(at, at)
        raise Rejected("client_invalid", field=field, reason=fault["msg"].removeprefix("Value error, ")) from None
    return made, new_secret() if kind == "web" else ""


def _editable_row(client_id: str) -> OAuthClient:
    """Return the row of a client that can be changed in the console.

    :raises Rejected: ``not_found`` (404), ``client_of_file`` (409)
    """
    if client_id in clients_in_memory():
        raise Rejected("client_of_file", status=409)
    row = client_store.get_row(client_id) if is_client_id(client_id) else None
    if row is None:
        raise Rejected("not_found", status=404)
    return row


def _client_page(client_id: str, form: BaseForm | None = None, *, secret: str = "") -> Response:
    """Show a client.

    :param secret: the client's secret, if it was just generated
    """
    of_file = clients_in_memory().get(client_id)
    if of_file:
        facts, found = fields_of(of_file) | {"state": "enabled"}, of_file
    else:
        row = _editable_row(client_id)
        facts, found = describe(row), client_of(row)
    known = set(found.groups) - groups.unknown_names(found.groups)
    context = page_facts() | {"overlaps": {hours: span.total_seconds() for hours, span in OVERLAPS.items()}}
    data: dict[str, Any] = {"client": facts, "recipe": app_settings(found, secret), "notes": warnings_for(found, known)}
    return respond(PAGE, form, context=context, **data)


def _show_errors(form: BaseForm) -> Response:
    """Show a form's errors, on the client's page if the form was submitted from there."""
    client_id = str(form["client"].data or "")
    if answers_without_page() or not client_id:
        return respond("errors/form.html", form)
    return _client_page(client_id, form)


def _list(form: BaseForm | None = None) -> Response:
    if form and answers_without_page():
        return respond("errors/form.html", form)
    after = "" if form else request.args.get("after", "")
    if after and not is_client_id(after):
        raise Rejected("api_error", field="after")
    rows = sa.select(OAuthClient).where(OAuthClient.id > after).order_by(OAuthClient.id).limit(ON_PAGE + 1)
    found = db.session.scalars(rows).all()
    of_file = [] if after else [_summary(client, "enabled") for client in clients_in_memory().values()]
    listed = of_file + [_summary(client_of(row), state_of(row)) for row in found[:ON_PAGE]]
    last = found[ON_PAGE - 1].id if len(found) > ON_PAGE else None
    context = page_facts() | {
        "later": bool(after),
        "following": last and with_query("/admin/apps", after=last),
        "kinds": KINDS,
        "other_groups": groups.titles() if not wants_json() else [],
    }
    return respond(LIST, form, context=context, clients=listed, protected=_protected_apps(), after=last)


def _summary(client: Client, state: str) -> dict[str, Any]:
    return {"id": client.id, "name": client.name, "source": client.source, "state": state, "host": client.host,
            "groups": list(client.groups)}  # fmt: skip


def _protected_apps() -> list[dict[str, Any]]:
    """Return the protected apps of the apps file, like ``flask apps list``."""
    found = []
    for app in sorted(apps_by_host().values(), key=lambda each: each.id):
        need = app.rules[-1].requirements
        found.append(
            {
                "id": app.id,
                "name": app.name,
                "url": app.origin,
                "level": need.level,
                "groups": sorted(need.groups[0]) if need.groups else [],
                "rules": len(app.rules) - 1,
            }
        )
    return found
