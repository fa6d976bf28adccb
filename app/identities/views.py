"""/identities: an account's name, email addresses, phone number and username. /change-email/undo: undo a change."""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request
from flask_login import current_user

from app.errors import Rejected
from app.identities import bp, verification
from app.identities import service as identities
from app.identities.change_email_views import start_verification
from app.identities.forms import AddressForm, NameForm, RemoveForm, UndoForm, UsernameForm
from app.identities.presenters import identity_facts, permission_facts, required_session
from app.login.freshness import require_fresh
from app.login.presenters import label_of, needed_for_changes
from app.sessions.store import current_session
from app.users import all_identities_of
from app.web.access import login_required
from app.web.client import client_context
from app.web.commit import view_commit
from app.web.forms import BaseForm
from app.web.headers import no_referrer
from app.web.respond import flash_message, respond, wants_json

PAGE = "identities/identities.html"

UNDO_PAGE = "identities/undo.html"


@bp.get("/identities")
@login_required
def identities_page() -> Response:
    """Show the name and the identities, with dates and the primary address."""
    return respond(PAGE, context=_page(), **_facts())


@bp.post("/identities/add")
@login_required
def add_email() -> Response:
    """Send a code and a link to an additional address; it is added when one of them is used."""
    after_this_request(view_commit)
    require_fresh(current_session())
    form = AddressForm()
    if form.validate():
        with form.collecting_errors():
            return start_verification(form, verification.ADD)
    return respond(PAGE, form, context=_page(adding=form) | _facts())


@bp.post("/identities/primary")
@login_required
def make_primary() -> Response:
    """Make another of the user's addresses the primary one."""
    after_this_request(view_commit)
    require_fresh(current_session())
    form = AddressForm()
    if form.validate():
        with form.collecting_errors():
            identities.make_primary(current_user, required_session(), form.email.data, client_context())
            return _done("address_primary")
    return respond(PAGE, form, context=_page(other=form) | _facts())


@bp.post("/identities/remove")
@login_required
def remove() -> Response:
    """Remove an address, the phone number or the username, whichever is given."""
    after_this_request(view_commit)
    require_fresh(current_session())
    form = RemoveForm()
    if form.validate():
        with form.collecting_errors():
            _remove(form)
            return _done("identity_removed")
    return respond(PAGE, form, context=_page(other=form) | _facts())


@bp.post("/identities/name")
@login_required
def set_name() -> Response:
    """Set or remove the name. Needs no reauthentication, because it isn't used to sign in."""
    after_this_request(view_commit)
    form = NameForm()
    if form.validate():
        with form.collecting_errors():
            identities.set_name(current_user, form.name.data)
            return _done("name_set" if current_user.name else "name_removed")
    return respond(PAGE, form, context=_page(called=form) | _facts())


@bp.post("/identities/username")
@login_required
def set_username() -> Response:
    """Set or replace the username."""
    after_this_request(view_commit)
    require_fresh(current_session())
    form = UsernameForm()
    if form.validate():
        with form.collecting_errors():
            identities.set_username(current_user, required_session(), form.username.data, client_context())
            return _done("username_set")
    return respond(PAGE, form, context=_page(naming=form) | _facts())


def _remove(form: RemoveForm) -> None:
    named = [field for field in (form.email, form.phone, form.username) if field.data]
    if len(named) != 1:
        raise Rejected("api_error")
    if form.email.data:
        identities.remove_email(current_user, required_session(), form.email.data, client_context())
    elif form.phone.data:
        identities.remove_phone(current_user, required_session(), client_context())
    else:
        identities.remove_username(current_user, required_session(), client_context())


def _done(code: str) -> Response:
    flash_message(code)
    return respond(go="/identities", **(_facts() if wants_json() else {}))


def _facts() -> dict[str, Any]:
    rows = all_identities_of(current_user.id)
    return {"name": current_user.name, "identities": identity_facts(rows)} | permission_facts(rows)


def _page(
    adding: BaseForm | None = None,
    naming: BaseForm | None = None,
    other: BaseForm | None = None,
    called: BaseForm | None = None,
) -> dict[str, Any]:
    """Return the page's context besides the facts; empty for API clients."""
    if wants_json():
        return {}
    mine = {row.kind: row.value for row in reversed(all_identities_of(current_user.id))}
    return {
        "address_form": adding or AddressForm(),
        "name_form": called or NameForm(data={"name": current_user.name}),
        "username_form": naming or UsernameForm(),
        "other_form": other,
        "needed": needed_for_changes(current_session()),
        "user_label": label_of(mine),
    }


@bp.get("/change-email/undo/<token>")
def undo_page(token: str) -> Response:
    """Show who made the change, and a button that undoes it. Changes nothing itself, even if a scanner opens it."""
    change = identities.undoable_change(token)
    return no_referrer(
        respond(UNDO_PAGE, UndoForm(), context={"token": token, "asked": change.asked}, state=_state(change))
    )


@bp.post("/change-email/undo/<token>")
def undo(token: str) -> Response:
    """Undo the change. Works in any browser, and doesn't sign anyone in."""
    after_this_request(view_commit)
    form = UndoForm()
    change = None
    if form.validate() and form.sure.data:
        with form.collecting_errors():
            change = identities.undo_change(token)
    elif not form.faults():
        form.add_error(Rejected("denial_unsure", field="sure"))
    change = change or identities.undoable_change(token, strict=False)
    return no_referrer(respond(UNDO_PAGE, form, context={"token": token, "asked": change.asked}, state=_state(change)))


def _state(change: identities.UndoableChange) -> str:
    return "undone" if change.undone else "asked"
