"""/admin/groups: groups are created, filled, emptied and deleted."""

from __future__ import annotations

import re

import pytest

from app.audit import Event
from app.groups import service
from app.groups.models import Group, GroupMembership
from tests.groups import put_in
from tests.signed_in import sign_in

pytestmark = pytest.mark.both_databases


@pytest.fixture
def staff(app, ada) -> str:
    """The address of a group that Ada is in."""
    put_in(app, ada, "staff")
    return "/admin/groups/staff"


def members(console, path: str) -> list[str]:
    """Return the members on a group's page."""
    answer = console.get(path)
    assert answer.status == 200, answer
    if console.language == "json":
        return [person["email"] for person in answer.json["people"]]
    return [text.strip() for text in re.findall(r'href="/admin/people/[0-9a-f]{32}"><bdi>([^<]+)</bdi>', answer.text)]


def test_created_group_records_the_administrator(console, grace, rows):
    answer = console.post("/admin/groups", name="staff", title="Everyone here")
    assert answer.ok
    if console.language == "form":
        assert answer.location == "/admin/groups/staff"
    [group] = rows(Group)
    assert (group.name, group.title) == ("staff", "Everyone here")
    [event] = rows(Event, name="admin.group_created")
    assert (event.user_id, event.facts) == (grace.id, {"subject": "staff"})
    assert rows(Event, name="group.created")[0].facts["by"].startswith("admin:")


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"name": "Staff"}, 400, "group_name_invalid"),
        ({"name": "a b"}, 400, "group_name_invalid"),
        ({"name": "x" * 64}, 400, "group_name_invalid"),
        ({"name": " "}, 400, "required"),
        ({"name": "x", "title": "y" * 121}, 400, "invalid_input_length"),
        ({"name": "x", "title": "a\nb"}, 400, "group_title_invalid"),
        ({"name": "x", "title": "staff\u202e"}, 400, "group_title_invalid"),
        ({"name": "staff"}, 409, "group_exists"),
    ],
)
def test_invalid_group_is_rejected(console, staff, rows, fields, status, code):
    answer = console.post("/admin/groups", **fields)
    assert (answer.status, answer.codes) == (status, [code])
    assert [group.name for group in rows(Group)] == ["staff"]
    assert rows(Event, name="admin.group_created") == []


def test_groups_are_listed_by_name_with_member_counts(json_wire, grace, staff, app, people, monkeypatch):
    monkeypatch.setattr("app.admin.group_views.ON_PAGE", 2)
    for name in ("a", "z"):
        put_in(app, grace, name)
    console = sign_in(json_wire, grace)
    first = console.get("/admin/groups").json
    assert [(group["name"], group["members"]) for group in first["groups"]] == [("a", 1), ("staff", 1)]
    second = console.get(f"/admin/groups?after={first['after']}").json
    assert ([group["name"] for group in second["groups"]], second["after"]) == (["z"], None)


def test_member_is_added_by_any_identity_and_removed(console, staff, grace, people, of_ada, rows):
    people.open(email="bob@example.com", phone="+16502530000")
    assert console.post(f"{staff}/members", identity="+1 650 253 0000").ok
    assert members(console, staff) == ["bob@example.com", "ada@example.com"]
    handle = of_ada.rpartition("/")[2]
    assert console.post(f"{staff}/members/{handle}/remove").ok
    assert members(console, staff) == ["bob@example.com"]
    assert console.post(f"{staff}/members", identity=handle).ok
    assert len(rows(GroupMembership)) == 2
    assert [event.facts["group"] for event in rows(Event, name="admin.group_member_added")] == ["staff", "staff"]
    assert rows(Event, name="admin.group_member_removed")[0].facts == {"subject": handle, "group": "staff"}


def test_adding_and_removing_members_is_idempotent(json_wire, grace, staff, of_ada, rows):
    console, handle = sign_in(json_wire, grace), of_ada.rpartition("/")[2]
    assert console.post(f"{staff}/members", identity="ada@example.com").json["added"] is False
    assert console.post(f"{staff}/members/{handle}/remove").json["removed"] is True
    assert console.post(f"{staff}/members/{handle}/remove").json["removed"] is False
    assert [len(rows(Event, name=f"admin.group_member_{what}")) for what in ("added", "removed")] == [0, 1]


def test_unknown_user_cannot_be_added_to_a_group(console, staff, rows):
    for unknown in ("nobody@example.com", "0" * 32, "x" * 3000):
        answer = console.post(f"{staff}/members", identity=unknown)
        assert (answer.status, answer.codes) == (400, ["person_unknown"])
    assert console.post(f"{staff}/members").codes == ["required"]
    assert len(rows(GroupMembership)) == 1


def test_unknown_group_returns_404(console, of_ada):
    handle = of_ada.rpartition("/")[2]
    for name in ("none", "NONE", "x" * 300, "%00"):
        assert console.get(f"/admin/groups/{name}").status == 404
    assert console.post("/admin/groups/none/members", identity="ada@example.com").status == 404
    assert console.post(f"/admin/groups/none/members/{handle}/remove").status == 404
    assert console.post("/admin/groups/none/delete", sure=True).status == 404
    for name in ("none", "%00", "x%00y"):  # PostgreSQL accepts no NUL
        assert console.post(f"/admin/groups/{name}/members/{handle}/remove").status == 404
        assert console.post(f"{of_ada}/groups/{name}/leave").status == 404


def test_group_is_deleted_only_with_confirmation(console, staff, rows):
    assert console.post(f"{staff}/delete").codes == ["person_unsure"]
    assert len(rows(Group)) == 1
    assert console.post(f"{staff}/delete", sure=True).ok
    assert (rows(Group), rows(GroupMembership)) == ([], [])
    assert rows(Event, name="admin.group_deleted")[0].facts == {"subject": "staff", "members": 1}
    assert console.get(staff).status == 404


def test_group_too_large_for_the_console_cannot_be_deleted_there(console, app, staff, grace, rows, monkeypatch):
    put_in(app, grace, "staff")
    monkeypatch.setattr("app.admin.group_views.MAX_COUNTED", 1)
    answer = console.post(f"{staff}/delete", sure=True)
    assert (answer.status, answer.codes) == (409, ["too_large_here"])
    assert len(rows(Group)) == 1


def test_member_list_is_paginated(json_wire, grace, staff, app, people, monkeypatch):
    monkeypatch.setattr("app.admin.people.PAGE", 2)
    for number in range(4):
        put_in(app, people.open(email=f"a{number}@example.com"), "staff")
    console, seen, after = sign_in(json_wire, grace), [], ""
    for _ in range(4):
        answer = console.get(f"{staff}?after={after}").json
        seen += [person["email"] for person in answer["people"]]
        after = answer["after"] or ""
        if not after:
            break
    assert seen == [f"a{number}@example.com" for number in (3, 2, 1, 0)] + ["ada@example.com"]
    assert console.get(f"{staff}?after=x").codes == ["api_error"]
    assert len(console.get(f"{staff}?after={'9' * 18}").json["people"]) == 2


def test_member_count_is_bounded(app, staff, people, monkeypatch):
    for number in range(3):
        put_in(app, people.open(email=f"a{number}@example.com"), "staff")
    with app.app_context():
        [group] = service.groups_after("", 5)
        statement = str(service._BOUNDED)
    assert group.members == 4
    assert "LIMIT" in statement


def test_group_changes_require_recent_reauthentication(console, staff, of_ada, clock, rows):
    console.get(staff)
    clock.shift(60 * 6)
    for path, fields in ((staff + "/delete", {"sure": True}), ("/admin/groups", {"name": "x"})):
        assert console.post(path, **fields).status == (401 if console.language == "json" else 302)
    assert len(rows(Group)) == 1
