"""/admin/groups: groups and their members."""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request, request

from app.admin import bp, people
from app.admin.access import actor, record_action
from app.admin.forms import DeleteGroupForm, MemberForm, NewGroupForm
from app.admin.presenters import answers_without_page, page_facts
from app.errors import Rejected
from app.groups import service as groups
from app.groups.models import MAX_TITLE_LENGTH
from app.groups.service import MAX_COUNTED, GroupSummary, UnknownGroup
from app.web.commit import view_commit
from app.web.forms import BaseForm, ButtonForm
from app.web.redirects import with_query
from app.web.respond import flash_message, respond, wants_json

LIST, PAGE = "admin/groups.html", "admin/group.html"
ON_PAGE = 50
"""Groups per page."""


@bp.get("/groups")
def group_list() -> Response:
    """List groups by name, with their member counts."""
    return _list()


@bp.post("/groups")
def create_group() -> Response:
    """Create a group."""
    after_this_request(view_commit)
    form = NewGroupForm()
    if form.validate():
        with form.collecting_errors():
            name, title = str(form.name.data).strip(), str(form.title.data or "").strip()
            if not groups.is_name(name):
                raise Rejected("group_name_invalid", field="name")
            if len(title) > MAX_TITLE_LENGTH:
                raise Rejected("invalid_input_length", field="title", length=MAX_TITLE_LENGTH)
            if not title.isprintable():
                raise Rejected("group_title_invalid", field="title")
            if not groups.create(name, title, by=actor()):
                raise Rejected("group_exists", field="name", status=409, group=name)
            record_action("group_created", name)
            flash_message("group_created", group=name)
            return respond(go=f"/admin/groups/{name}", group=name)
    return _list(form)


@bp.get("/groups/<name>")
def group(name: str) -> Response:
    """Show a group and its members."""
    return _page(_group_or_404(name))


@bp.post("/groups/<name>/members")
def add_member(name: str) -> Response:
    """Add an account to a group, by identity or handle."""
    after_this_request(view_commit)
    form = MemberForm()
    if form.validate():
        found = _group_or_404(name)
        with form.collecting_errors():
            user = people.find_account(str(form.identity.data), "identity")
            added = _or_not_found(lambda: groups.add_member(found.name, user.id, by=actor()))
            if added:
                record_action("group_member_added", user.handle, group=name)
            flash_message("person_in_group", group=name)
            return respond(go=f"/admin/groups/{name}", added=added)
    return _show_errors(name, form)


@bp.post("/groups/<name>/members/<handle>/remove")
def remove_member(name: str, handle: str) -> Response:
    """Remove an account from a group. Does nothing if it isn't a member."""
    after_this_request(view_commit)
    form = ButtonForm()
    if form.validate():
        user = people.person_of(handle)
        removed = _or_not_found(lambda: groups.remove_member(name, user.id, by=actor()))
        if removed:
            record_action("group_member_removed", handle, group=name)
        flash_message("person_not_in_group", group=name)
        return respond(go=f"/admin/groups/{name}", removed=removed)
    return _show_errors(name, form)


@bp.post("/groups/<name>/delete")
def delete_group(name: str) -> Response:
    """Delete a group. Its members lose the access it gave them."""
    after_this_request(view_commit)
    form = DeleteGroupForm()
    if form.validate():
        found = _group_or_404(name)
        with form.collecting_errors():
            if not form.sure.data:
                raise Rejected("person_unsure", field="sure")
            if found.members > MAX_COUNTED:
                raise Rejected("too_large_here", status=409, command=f"flask groups delete {name}")
            members = _or_not_found(lambda: groups.delete(name, by=actor()))
            record_action("group_deleted", name, members=members)
            flash_message("group_deleted", group=name)
            return respond(go="/admin/groups", members=members)
    return _show_errors(name, form)


def _or_not_found(change: Any) -> Any:
    """Return the result of ``change``.

    :raises Rejected: ``not_found`` (404) when the group doesn't exist, or no longer exists
    """
    try:
        return change()
    except UnknownGroup:
        raise Rejected("not_found", status=404) from None


def _group_or_404(name: str) -> GroupSummary:
    found = groups.bounded_summary_of(name) if groups.is_name(name) else None
    if found is None:
        raise Rejected("not_found", status=404)
    return found


def _facts(found: GroupSummary) -> dict[str, Any]:
    counted = {"members": min(found.members, MAX_COUNTED), "more_members": found.members > MAX_COUNTED}
    return {"name": found.name, "title": found.title, "created_at": found.created_at} | counted


def _list(form: BaseForm | None = None) -> Response:
    if form and answers_without_page():
        return respond("errors/form.html", form)
    after = "" if form else request.args.get("after", "")
    if "\x00" in after:
        raise Rejected("api_error", field="after")
    found = groups.groups_after(after, ON_PAGE + 1)
    last = found[ON_PAGE - 1].name if len(found) > ON_PAGE else None
    context = page_facts() | {"later": bool(after), "following": last and with_query("/admin/groups", after=last)}
    return respond(LIST, form, context=context, groups=[_facts(each) for each in found[:ON_PAGE]], after=last)


def _show_errors(name: str, form: BaseForm) -> Response:
    """Show a form's errors, on the group's page if the form was submitted from there."""
    if answers_without_page():
        return respond("errors/form.html", form)
    return _page(_group_or_404(name), form)


def _page(found: GroupSummary, form: BaseForm | None = None) -> Response:
    if form and wants_json():
        return respond("errors/form.html", form)
    asked = "" if form else request.args.get("after", "")
    members, after = people.members_of(found.name, asked)
    place = f"/admin/groups/{found.name}"
    context = page_facts() | {"later": bool(asked), "following": after and with_query(place, after=after)}
    return respond(PAGE, form, context=context, group=_facts(found), people=members, after=after)
