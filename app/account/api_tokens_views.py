"""/tokens: a user's API tokens."""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request
from flask_login import current_user

from app import clock
from app.account import api_tokens, bp
from app.errors import ReauthenticationRequired
from app.i18n import N_
from app.login.freshness import require_fresh
from app.login.presenters import label_of, needed_for_changes
from app.sessions.api_tokens import revoke_all, tokens_of
from app.sessions.models import ApiToken
from app.sessions.store import current_session
from app.users import identities_of
from app.web.access import login_required
from app.web.client import client_context
from app.web.commit import view_commit
from app.web.forms import BaseForm, ButtonForm, ManyField, NumberField, Required, TextField
from app.web.respond import flash_message, respond, wants_json

PAGE = "account/tokens.html"
REFUSED = "errors/form.html"


class TokenForm(BaseForm):
    """An API token to create."""

    name = TextField(N_("Name"), [Required()])
    scopes = ManyField(N_("Permissions"), [Required("token_scope_unknown")])
    expires_in_days = NumberField(N_("Expires after"), [Required()])


@bp.get("/tokens")
@login_required
def tokens_page() -> Response:
    """List the user's API tokens, and show the form to create one."""
    scopes = api_tokens.scopes_for(current_user)
    facts: dict[str, Any] = {"tokens": _listed(), "scopes": scopes, "longest_days": api_tokens.longest_days()}
    return respond(PAGE, TokenForm(), context=_page(scopes), **facts)


@bp.post("/tokens")
@login_required
def create_token() -> Response:
    """Create a token. Only this response includes it."""
    after_this_request(view_commit)
    session = current_session()
    require_fresh(session)
    assert session is not None
    form = TokenForm()
    if form.validate():
        with form.collecting_errors():
            wanted = form.name.data, form.scopes.data, form.expires_in_days.data
            made, token = api_tokens.create(current_user, session, *wanted, client_context())
            context = _page() | {"tokens": _listed()}
            return respond(PAGE, form, context=context, token=token, created=_facts(made))
    return respond(PAGE, form, context=_page() | ({} if wants_json() else {"tokens": _listed()}))


@bp.post("/tokens/<token_id>/revoke")
@login_required
def revoke_token(token_id: str) -> Response:
    """Revoke a token. Needs no reauthentication, because it only removes access."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        api_tokens.revoke(current_user.id, token_id)
        flash_message("token_revoked")
        return respond(go="/tokens")
    return respond(REFUSED, form)


@bp.post("/tokens/revoke-all")
@login_required
def revoke_all_tokens() -> Response:
    """Revoke all of the user's tokens. Needs no reauthentication, either."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        ended = revoke_all(current_user.id)
        flash_message("tokens_revoked")
        return respond(go="/tokens", ended=ended)
    return respond(REFUSED, form)


def _listed() -> list[dict[str, Any]]:
    return [_facts(token) for token in tokens_of(current_user.id)]


def _facts(token: ApiToken) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "scopes": token.scopes.split(","),
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "expired": not token.is_alive(clock.now()),
        "last_used_at": token.last_used_at,
        "last_used_address": token.last_used_address or None,
    }


def _page(scopes: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the page's context; empty for API clients.

    :param scopes: that a token can have, if already looked up
    """
    if wants_json():
        return {}
    label = label_of(identities_of(current_user.id))
    needed = needed_for_changes(current_session())
    more = {"days_offered": api_tokens.offered_days(), "fresh": not needed and _is_fresh(), "needed": needed}
    return {"user_label": label, "all_scopes": scopes or api_tokens.scopes_for(current_user)} | more


def _is_fresh() -> bool:
    """Return whether a token can be created now, without reauthenticating first."""
    try:
        require_fresh(current_session())
    except ReauthenticationRequired:
        return False
    return True
