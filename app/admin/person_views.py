"""/admin/people/...: one account, and the actions on it."""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request
from flask_login import current_user

from app import i18n
from app.admin import account_changes, bp
from app.admin.access import actor, record_action
from app.admin.attempts import TITLES
from app.admin.forms import EraseForm, GroupForm, SignOutForm
from app.admin.people import person_of
from app.admin.presenters import answers_without_page, label_of_person, other_groups, page_facts, person_facts
from app.audit import record
from app.crypto.secrets import is_row_id
from app.errors import Rejected
from app.groups import service as groups
from app.groups.service import UnknownGroup
from app.privacy import deletion
from app.recovery import requests
from app.recovery import service as recovery
from app.signin import sent_links
from app.users import User, administrators
from app.web.commit import view_commit
from app.web.forms import BaseForm, ButtonForm
from app.web.respond import flash_message, respond, wants_json

PAGE = "admin/person.html"


@bp.get("/people/<handle>")
def person(handle: str) -> Response:
    """Show one account."""
    return _page(person_of(handle))


@bp.post("/people/<handle>/disable")
def disable(handle: str) -> Response:
    """Disable an account and end its sessions."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        user = _losing_access(handle)
        ended = account_changes.disable(user, by=actor())
        if ended is not None:
            record_action("account_disabled", handle, sessions=ended)
        return _done(handle, "person_disabled", ended=ended or 0)
    return _show_errors(handle, form)


@bp.post("/people/<handle>/enable")
def enable(handle: str) -> Response:
    """Enable an account again."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        if account_changes.enable(person_of(handle), by=actor()):
            record_action("account_enabled", handle)
        return _done(handle, "person_enabled")
    return _show_errors(handle, form)


@bp.post("/people/<handle>/unlock")
def unlock(handle: str) -> Response:
    """Reset an account's counters of failed codes and passwords."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        forgotten = account_changes.unlock(person_of(handle), by=actor())
        record_action("account_unlocked", handle)
        return _done(handle, "person_unlocked", had_failures=forgotten)
    return _show_errors(handle, form)


@bp.post("/people/<handle>/send-link")
def send_link(handle: str) -> Response:
    """Send a one-time sign-in link to the account's own email address. It isn't shown here."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        user = person_of(handle)
        with form.collecting_errors():
            sent_links.send(user, by=actor())
            record_action("link_sent", handle)
            minutes = int(sent_links.LIFETIME.total_seconds() // 60)
            return _done(handle, "person_link_sent", values={"minutes": minutes}, sent=True)
    return _show_errors(handle, form)


@bp.post("/people/<handle>/resume-mail")
def resume_mail(handle: str) -> Response:
    """Lift the suppressions of an account's email addresses after bounces."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        lifted = account_changes.resume_mail(person_of(handle), by=actor())
        if lifted:
            record_action("mail_resumed", handle, addresses=lifted)
        return _done(handle, "person_mail_resumed", lifted=lifted)
    return _show_errors(handle, form)


@bp.post("/people/<handle>/sign-out")
def sign_out(handle: str) -> Response:
    """End all sessions of an account, and revoke its tokens if requested."""
    after_this_request(view_commit)
    form = SignOutForm()
    if form.validate():
        ended, revoked = account_changes.end_sessions(person_of(handle), by=actor(), tokens=form.tokens.data)
        record_action("sessions_ended", handle, sessions=ended, tokens=revoked)
        return _done(handle, "person_signed_out", ended=ended, revoked=revoked)
    return _show_errors(handle, form)


@bp.post("/people/<handle>/sessions/<session_id>/end")
def end_session(handle: str, session_id: str) -> Response:
    """End one session of an account. Does nothing if it has already ended."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        user = person_of(handle)
        if not is_row_id(session_id):
            raise Rejected("not_found", status=404)
        ended = account_changes.end_session(user, session_id, by=actor())
        if ended:
            record_action("sessions_ended", handle, sessions=ended, tokens=0)
        return _done(handle, "person_session_ended", ended=ended)
    return _show_errors(handle, form)


@bp.post("/people/<handle>/second-step/off")
def second_step_off(handle: str) -> Response:
    """Turn off two-step verification for an account, and notify its owner."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        ended = account_changes.turn_off_second_step(_other(handle), by=actor())
        if ended is None:
            return _done(handle, "person_second_step_was_off", ended=0)
        record_action("second_step_off", handle, sessions=ended)
        return _done(handle, "person_second_step_off", ended=ended)
    return _show_errors(handle, form)


@bp.post("/people/<handle>/recovery/cancel")
def cancel_recovery(handle: str) -> Response:
    """Cancel a pending account recovery."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        under_way = requests.open_of(person_of(handle).id)
        canceled = under_way is not None and recovery.cancel(under_way, "operator")
        if canceled:
            record_action("recovery_canceled", handle)
        return _done(handle, "person_recovery_canceled", canceled=canceled)
    return _show_errors(handle, form)


@bp.post("/people/<handle>/delete")
def delete(handle: str) -> Response:
    """Close an account and schedule its erasure. Its owner is notified and can keep it."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        deletes_at = deletion.schedule_deletion(_losing_access(handle), by=actor())
        record_action("account_deleted", handle, deletes_at=deletes_at.isoformat())
        return _done(handle, "person_deleting", values={"day": i18n.date_text(deletes_at)}, deletes_at=deletes_at)
    return _show_errors(handle, form)


@bp.post("/people/<handle>/undelete")
def undelete(handle: str) -> Response:
    """Keep an account that is scheduled for erasure."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        kept = deletion.cancel_requested(person_of(handle), late=True, by=actor())
        if kept:
            record_action("account_kept", handle)
        return _done(handle, "person_kept", kept=kept)
    return _show_errors(handle, form)


@bp.post("/people/<handle>/groups")
def join(handle: str) -> Response:
    """Add an account to a group."""
    after_this_request(view_commit)
    form = GroupForm()
    if form.validate():
        user = person_of(handle)
        with form.collecting_errors():
            name = str(form.group.data)
            try:
                added = groups.add_member(name, user.id, by=actor())
            except UnknownGroup:
                raise Rejected("unknown_group", field="group", group=name) from None
            if added:
                record_action("group_member_added", handle, group=name)
            return _done(handle, "person_in_group", values={"group": name}, added=added)
    return _show_errors(handle, form)


@bp.post("/people/<handle>/groups/<name>/leave")
def leave(handle: str, name: str) -> Response:
    """Remove an account from a group."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        try:
            removed = groups.remove_member(name, person_of(handle).id, by=actor())
        except UnknownGroup:
            raise Rejected("not_found", status=404) from None
        if removed:
            record_action("group_member_removed", handle, group=name)
        return _done(handle, "person_not_in_group", values={"group": name}, removed=removed)
    return _show_errors(handle, form)


@bp.post("/people/<handle>/administrator")
def make_administrator(handle: str) -> Response:
    """Give an account access to the console."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        user = person_of(handle)
        made = administrators.grant(user.id, by=actor())
        if made:
            record("administrator.added", user.id, by=actor())
            record_action("administrator_added", handle)
        return _done(handle, "person_is_administrator", added=made)
    return _show_errors(handle, form)


@bp.post("/people/<handle>/administrator/remove")
def remove_administrator(handle: str) -> Response:
    """Revoke an account's access to the console. At least one administrator who can sign in must remain."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        user = person_of(handle)
        with form.collecting_errors():
            removed = account_changes.remove_administrator(user, by=actor(), keep_one=True)
            if removed:
                record_action("administrator_removed", handle)
            go = "/" if user.id == current_user.id else None
            return _done(handle, "person_no_administrator", go=go, removed=removed)
    return _show_errors(handle, form)


@bp.post("/people/<handle>/erase")
def erase(handle: str) -> Response:
    """Have the worker erase an account now. This can't be undone."""
    after_this_request(view_commit)
    form = EraseForm()
    if form.validate():
        user = _losing_access(handle)
        if not form.sure.data:
            form.add_error(Rejected("person_unsure", field="sure"))
            return _show_errors(handle, form)
        account_changes.erase_now(user, by=actor())
        record_action("account_erased", handle)
        return _done(handle, "person_erased", go="/admin/people")
    return _show_errors(handle, form)


def _other(handle: str) -> User:
    """Return an account, unless it is the administrator's own, so that no one locks themselves out by mistake.

    :raises Rejected: ``not_found`` (404), ``not_yourself`` (409)
    """
    user = person_of(handle)
    if user.id == current_user.id:
        raise Rejected("not_yourself", status=409)
    return user


def _losing_access(handle: str) -> User:
    """Return another account that is about to lose access. Prevents two administrators from locking each other out.

    :raises Rejected: as ``_other``; ``last_administrator`` (409)
    """
    user = _other(handle)
    if administrators.is_administrator(user.id):
        administrators.require_another(user.id)
    return user


def _show_errors(handle: str, form: BaseForm) -> Response:
    """Show a form's errors, on the account's page if the form was submitted from there."""
    if answers_without_page():
        return respond("errors/form.html", form)
    return _page(person_of(handle), form)


def _page(user: User, form: BaseForm | None = None) -> Response:
    facts = person_facts(user)
    context = (
        {}
        if wants_json()
        else {"label": label_of_person(facts), "other_groups": other_groups(user), "attempt_titles": TITLES}
    )
    return respond(PAGE, form, context=page_facts() | context, person=facts)


def _done(
    handle: str, code: str, *, go: str | None = None, values: dict[str, Any] | None = None, **facts: Any
) -> Response:
    flash_message(code, **(values or {}))
    return respond(go=go or f"/admin/people/{handle}", **facts)
