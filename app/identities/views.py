"""/identities: the addresses, the number and the username by which an account is found."""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request
from flask_login import current_user, login_required

from app.identities import bp, managing, proving_addresses
from app.identities.change_email_views import begin
from app.identities.forms import AddressForm, RemoveForm, UsernameForm
from app.identities.showing import allowed, current, listed
from app.kit.refusals import Refused
from app.sessions.freshness import require_fresh
from app.sessions.opening import brought_session
from app.sessions.showing import label_of, needed_for_changes
from app.users import all_identities_of
from app.web.asker import asker
from app.web.commit import view_commit
from app.web.forms import HouseForm
from app.web.respond import respond, wants_json
from app.web.telling import say

PAGE = "identities/identities.html"


@bp.get("/identities")
@login_required
def identities_page() -> Response:
    """List what finds the account, since when, and which address is the primary one."""
    return respond(PAGE, shown=_page(), **_facts())


@bp.post("/identities/add")
@login_required
def add_email() -> Response:
    """Send a code and a link to one more address; it is added when one of them is used."""
    after_this_request(view_commit)
    require_fresh(brought_session())
    form = AddressForm()
    if form.validate():
        with form.showing_refusals():
            return begin(form, proving_addresses.ADD)
    return respond(PAGE, form, shown=_page(adding=form) | _facts())


@bp.post("/identities/primary")
@login_required
def make_primary() -> Response:
    """Let another of one's addresses be the primary one."""
    after_this_request(view_commit)
    require_fresh(brought_session())
    form = AddressForm()
    if form.validate():
        with form.showing_refusals():
            managing.make_primary(current_user, current(), form.email.data, asker())
            return _done("address_primary")
    return respond(PAGE, form, shown=_page(other=form) | _facts())


@bp.post("/identities/remove")
@login_required
def remove() -> Response:
    """Remove an address, the number or the username: the one that is named."""
    after_this_request(view_commit)
    require_fresh(brought_session())
    form = RemoveForm()
    if form.validate():
        with form.showing_refusals():
            _remove(form)
            return _done("identity_removed")
    return respond(PAGE, form, shown=_page(other=form) | _facts())


@bp.post("/identities/username")
@login_required
def set_username() -> Response:
    """Take a username, or another one."""
    after_this_request(view_commit)
    require_fresh(brought_session())
    form = UsernameForm()
    if form.validate():
        with form.showing_refusals():
            managing.set_username(current_user, current(), form.username.data, asker())
            return _done("username_set")
    return respond(PAGE, form, shown=_page(naming=form) | _facts())


def _remove(form: RemoveForm) -> None:
    named = [field for field in (form.email, form.phone, form.username) if field.data]
    if len(named) != 1:
        raise Refused("api_error")
    if form.email.data:
        managing.remove_email(current_user, current(), form.email.data, asker())
    elif form.phone.data:
        managing.remove_phone(current_user, current(), asker())
    else:
        managing.remove_username(current_user, current(), asker())


def _done(code: str) -> Response:
    say(code)
    return respond(go="/identities", **(_facts() if wants_json() else {}))


def _facts() -> dict[str, Any]:
    rows = all_identities_of(current_user.id)
    return {"identities": listed(rows)} | allowed(rows)


def _page(
    adding: HouseForm | None = None, naming: HouseForm | None = None, other: HouseForm | None = None
) -> dict[str, Any]:
    """Return what the page shows beside the facts; a program needs none of it."""
    if wants_json():
        return {}
    mine = {row.kind: row.value for row in reversed(all_identities_of(current_user.id))}
    return {
        "address_form": adding or AddressForm(),
        "username_form": naming or UsernameForm(),
        "other_form": other,
        "needed": needed_for_changes(brought_session()),
        "user_label": label_of(mine),
    }
