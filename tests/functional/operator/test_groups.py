"""``flask groups``, and groups in the output of other commands."""

from __future__ import annotations

import json

import pytest

from app.audit import Event
from app.cli import groups as commands
from app.groups.models import MAX_NAME_LENGTH, MAX_TITLE_LENGTH, Group, GroupMembership
from tests.signed_in import sign_in

pytestmark = pytest.mark.both_databases


@pytest.fixture
def ada(people):
    """Someone with three kinds of identity."""
    return people.open("ada@example.com", phone="+16505551234", username="ada")


@pytest.fixture
def bob(people):
    return people.open("bob@example.com")


@pytest.fixture
def media(operate):
    """A group."""
    assert operate("groups", "create", "media", "--title", "Films and music").exit_code == 0
    return "media"


def members(rows) -> list[int]:
    return sorted(row.user_id for row in rows(GroupMembership))


def test_create_adds_a_group_and_prints_the_next_command(operate, rows):
    result = operate("groups", "create", "media", "--title", " Films and music ")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "Created the group media. Add accounts to it: flask groups add media IDENTITY\n"
    assert [(row.name, row.title) for row in rows(Group)] == [("media", "Films and music")]
    assert [row.facts for row in rows(Event, name="group.created")] == [{"group": "media", "by": "operator"}]


def test_group_title_defaults_to_its_name(operate, rows):
    operate("groups", "create", "media")
    assert rows(Group)[0].title == "media"


def test_creating_an_existing_group_is_rejected(operate, media, rows):
    result = operate("groups", "create", "media", "--title", "Others")
    assert (result.exit_code, result.stderr) == (1, "Error: There is already a group media.\n")
    assert [row.title for row in rows(Group)] == ["Films and music"]


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("Media", "Try: media"),
        ("Films & music", "Try: films-music"),
        ("a,b", "Try: a-b"),
        (".hidden", "Try: hidden"),
        ("m" * (MAX_NAME_LENGTH + 1), f"Try: {'m' * MAX_NAME_LENGTH}\n"),
        ("\u00fc", "begins with a letter or digit.\n"),
        ("", "begins with a letter or digit.\n"),
    ],
)
def test_invalid_group_name_is_rejected_with_a_suggestion(operate, rows, name, instead):
    result = operate("groups", "create", "--", name)
    assert result.exit_code == 1
    assert "can't be the name of a group: it has lower-case letters, digits, . _ and -, at most 63" in result.stderr
    assert instead in result.stderr
    assert rows(Group) == []


@pytest.mark.one_database
@pytest.mark.parametrize("title", ["x" * (MAX_TITLE_LENGTH + 1), "two\nlines", "\x1b[31mred", "\u202egnp"])
def test_invalid_group_title_is_rejected(operate, rows, title):
    result = operate("groups", "create", "media", "--title", title)
    assert result.exit_code == 1
    assert "--title: must be one line of at most 120 characters." in result.stderr
    assert rows(Group) == []


def test_add_accepts_any_identity_and_reports_unknown_ones(operate, media, ada, bob, rows):
    result = operate("groups", "add", "media", "(650) 555-1234", "nobody@example.com", "???", "BOB@example.com", "ada")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "(650) 555-1234: added to media.",
        "BOB@example.com: added to media.",
        "ada: is already in media.",
    ]
    assert result.stderr.splitlines()[0] == "nobody@example.com: no account has that."
    assert "'???' isn't an email address" in result.stderr
    assert members(rows) == [ada.id, bob.id]


def test_adding_a_member_twice_is_idempotent(operate, media, ada, rows):
    codes = [operate("groups", "add", "media", ada.email).exit_code for _ in range(2)]
    assert codes == [0, 0]
    assert [row.user_id for row in rows(Event, name="group.member_added")] == [ada.id]


def test_remove_takes_members_out_of_a_group(operate, media, ada, bob, rows):
    operate("groups", "add", "media", ada.email, bob.email)
    result = operate("groups", "remove", "media", "ada", ada.email)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "ada: removed from media.\nada@example.com: isn't in media.\n"
    assert members(rows) == [bob.id]
    assert [row.user_id for row in rows(Event, name="group.member_removed")] == [ada.id]


@pytest.mark.parametrize("words", [("add", "medai", "ada"), ("remove", "medai", "ada"), ("delete", "medai", "--yes")])
def test_unknown_group_is_rejected_listing_existing_ones(operate, ada, rows, words):
    none = operate("groups", *words)
    assert (none.exit_code, none.stdout) == (1, "")
    assert none.stderr == "Error: There is no group 'medai', nor any other. Create one: flask groups create NAME\n"
    operate("groups", "create", "media")
    operate("groups", "create", "admins")
    result = operate("groups", *words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: There is no group 'medai'. There are: admins, media.\n"
    assert (members(rows), len(rows(Group))) == ([], 2)


@pytest.mark.one_database
def test_unknown_group_error_lists_only_some_of_many_groups(operate, monkeypatch):
    monkeypatch.setattr(commands, "SHOWN", 2)
    for name in ("c", "b", "a"):
        operate("groups", "create", name)
    assert operate("groups", "delete", "d").stderr == (
        "Error: There is no group 'd'. There are: a, b and 1 more (flask groups list).\n"
    )


def test_delete_asks_for_confirmation_with_member_count(operate, media, ada, bob, rows):
    operate("groups", "add", "media", ada.email, bob.email)
    result = operate("groups", "delete", "media", stdin="n\n")
    assert result.exit_code == 1
    assert "Delete the group media with 2 members? [y/N]" in result.stdout
    assert members(rows) == [ada.id, bob.id]
    result = operate("groups", "delete", "media", stdin="y\n")
    assert result.exit_code == 0
    assert result.stdout.endswith("Deleted the group media, which had 2 members.\n")
    assert (rows(Group), members(rows)) == ([], [])
    assert sorted(row.user_id for row in rows(Event, name="group.member_removed")) == [ada.id, bob.id]


def test_delete_with_yes_asks_nothing(operate, media, ada, rows):
    operate("groups", "add", "media", ada.email)
    result = operate("groups", "delete", "media", "--yes")
    assert (result.exit_code, result.stdout) == (0, "Deleted the group media, which had 1 member.\n")
    assert rows(Group) == []


@pytest.mark.parametrize("words", [("delete", "media", "--yes"), ("add", "media", "ada"), ("remove", "media", "ada")])
def test_group_deleted_concurrently_is_reported_as_missing(operate, media, ada, monkeypatch, words):
    """Between the look at it and the change."""
    real = commands.group_named

    def look(name):
        found = real(name)
        monkeypatch.setattr(commands, "group_named", real)
        assert operate("groups", "delete", name, "--yes").exit_code == 0
        return found

    monkeypatch.setattr(commands, "group_named", look)
    result = operate("groups", *words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: There is no group 'media', nor any other. Create one: flask groups create NAME\n"


def test_list_counts_members(operate, media, ada, bob):
    operate("groups", "create", "admins")
    operate("groups", "add", "media", ada.email, bob.email)
    result = operate("groups", "list")
    assert (result.exit_code, result.stderr) == (0, "2 groups.\n")
    assert result.stdout.splitlines() == ["NAME  MEMBERS  TITLE", "admins  0  admins", "media  2  Films and music"]
    [_, told] = [json.loads(line) for line in operate("groups", "list", "--json").stdout.splitlines()]
    assert told.pop("created_at").startswith("20")
    assert told == {"name": "media", "title": "Films and music", "members": 2}


def test_list_without_groups_is_empty(operate):
    result = operate("groups", "list")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "0 groups.\n")
    assert operate("groups", "list", "--json").output == ""


def test_users_list_and_show_include_groups(operate, media, ada, bob):
    operate("groups", "create", "admins")
    for group in ("media", "admins"):
        operate("groups", "add", group, ada.email)
    assert operate("users", "list").stdout.splitlines()[1:] == [
        "ada@example.com +16505551234 ada  email,sms  in admins,media",
        "bob@example.com  email",
    ]
    told = [json.loads(line)["groups"] for line in operate("users", "list", "--json").stdout.splitlines()]
    assert told == [["admins", "media"], []]
    shown = dict(line.split(None, 1) for line in operate("users", "show", "ada").stdout.splitlines())
    assert shown["groups"] == "admins, media"
    assert json.loads(operate("users", "show", "ada", "--json").stdout)["groups"] == ["admins", "media"]


def names_of(result) -> list[str]:
    """Return the first identity of each account that was listed."""
    return [line.split()[0] for line in result.stdout.splitlines()[1:]]


def test_users_list_can_be_filtered_by_group(operate, media, people, monkeypatch):
    monkeypatch.setattr("app.admin.people.BATCH", 2)
    emails = [people.open(f"a{number}@example.com", disabled=number == 3).email for number in range(6)]
    operate("groups", "create", "admins")
    operate("groups", "add", "media", *emails[1::2])
    operate("groups", "add", "admins", emails[0])
    assert names_of(operate("users", "list", "--group", "media")) == emails[1::2]
    assert names_of(operate("users", "list", "--group", "media", "--disabled")) == [emails[3]]
    assert names_of(operate("users", "list", "a", "--group", "media")) == emails[1::2]
    assert names_of(operate("users", "list", "a5", "--group", "media")) == [emails[5]]
    wrong = operate("users", "list", "--group", "medai")
    assert (wrong.exit_code, wrong.stdout) == (1, "")
    assert "There is no group 'medai'. There are: admins, media." in wrong.stderr


def test_user_can_be_created_in_groups(operate, media, rows):
    operate("groups", "create", "admins")
    result = operate("users", "create", "ada@example.com", "--group", "media", "--group", "admins", "--group", "media")
    assert result.exit_code == 0, result.output
    assert json.loads(operate("users", "show", "ada@example.com", "--json").stdout)["groups"] == ["admins", "media"]
    for group, reason in (("medai", "there is no group medai"), ("Media", "'Media' can't be the name of a group")):
        result = operate("users", "create", "eve@example.com", "--group", group)
        assert result.exit_code == 1
        assert f"No account was created: groups: {reason}" in result.stderr
    assert operate("users", "show", "eve@example.com").exit_code == 1


def test_user_sees_group_changes_in_activity(operate, media, ada, wire):
    operate("groups", "add", "media", "ada")
    operate("groups", "remove", "media", "ada")
    text = sign_in(wire, ada).get("/activity").text
    assert "Added to the group media by an administrator" in text
    assert "Removed from the group media by an administrator" in text


def test_erased_user_leaves_the_group_and_the_group_remains(operate, media, ada, bob, rows):
    operate("groups", "add", "media", ada.email, bob.email)
    assert operate("users", "delete", ada.email, "--now", "--yes").exit_code == 0
    assert members(rows) == [bob.id]
    assert "media  1  Films and music" in operate("groups", "list").stdout
    assert [row.facts for row in rows(Event, name="group.member_added") if row.user_id != bob.id] == [{}]
