"""Groups in ``flask users import``, also from one Latchkey to another."""

from __future__ import annotations

import json

import pytest

from app.audit import Event
from app.cli import account_creation
from app.cli.imports.command import UNKNOWN_GROUPS
from app.cli.imports.run import import_lines
from app.groups.models import Group, GroupMembership
from app.users import User
from tests.functional.operator.test_import import IMPORT, lines

ADA = {"email": "ada@example.com", "groups": ["media", "admins"]}
BEA = {"email": "bea@example.com", "groups": ["media"]}
CLEO = {"email": "cleo@example.com"}


@pytest.fixture
def groups_of(operate):
    """Returns everyone's groups from ``flask users list``."""

    def told() -> dict[str, list[str]]:
        accounts = [json.loads(line) for line in operate("users", "list", "--json").stdout.splitlines()]
        return {account["email"]: account["groups"] for account in accounts}

    return told


@pytest.fixture
def two_groups(operate):
    for name in ("media", "admins"):
        assert operate("groups", "create", name).exit_code == 0


@pytest.mark.both_databases
@pytest.mark.usefixtures("two_groups")
def test_import_adds_accounts_to_their_groups(operate, groups_of, rows):
    result = operate(*IMPORT, stdin=lines(ADA, BEA, CLEO, {"email": "dee@example.com", "groups": None}))
    assert (result.exit_code, result.output) == (0, "4 opened, 0 there already, 0 refused.\n")
    told = {"ada@example.com": ["admins", "media"], "bea@example.com": ["media"]}
    assert groups_of() == told | {"cleo@example.com": [], "dee@example.com": []}
    assert len(rows(Event, name="group.member_added")) == 3


@pytest.mark.both_databases
@pytest.mark.usefixtures("two_groups")
def test_group_named_twice_is_added_once(operate, groups_of):
    operate(*IMPORT, stdin=lines({"email": "ada@example.com", "groups": ["media", "media"]}))
    assert groups_of() == {"ada@example.com": ["media"]}


@pytest.mark.both_databases
def test_unknown_groups_are_rejected_and_listed(operate, groups_of, rows, tmp_path):
    operate("groups", "create", "media")
    refused = tmp_path / "refused.jsonl"
    more = {"email": "dee@example.com", "groups": ["zoo", "media", "family"]}
    result = operate(*IMPORT, "--refused", str(refused), stdin=lines(ADA, BEA, more, CLEO))
    assert result.exit_code == 1
    assert result.stdout == "2 opened, 0 there already, 2 refused.\n"
    assert result.stderr.splitlines() == [
        "line 1: groups: there is no group admins",
        "line 3: groups: there is no group zoo or family",
        UNKNOWN_GROUPS.format(names="admins, family, zoo"),
    ]
    assert groups_of() == {"bea@example.com": ["media"], "cleo@example.com": []}
    assert [json.loads(line)["record"] for line in refused.read_bytes().splitlines()] == [ADA, more]
    assert [row.name for row in rows(Group)] == ["media"]


@pytest.mark.both_databases
def test_unknown_groups_are_created_with_create_groups(operate, groups_of, rows):
    operate("groups", "create", "media")
    result = operate(*IMPORT, "--create-groups", stdin=lines(ADA, BEA, CLEO))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "Created groups: admins.\n3 opened, 0 there already, 0 refused.\n"
    assert groups_of()["ada@example.com"] == ["admins", "media"]
    assert [row.facts["group"] for row in rows(Event, name="group.created")] == ["media", "admins"]


@pytest.mark.both_databases
def test_no_group_is_created_for_a_line_that_creates_no_account(operate, people, rows):
    people.open("ada@example.com")
    weak = BEA | {"groups": ["zoo"], "password": "hunter2"}
    result = operate(*IMPORT, "--create-groups", stdin=lines(ADA, weak))
    assert result.stdout == "0 opened, 1 there already, 1 refused.\n"
    assert (rows(Group), rows(GroupMembership)) == ([], [])


@pytest.mark.both_databases
@pytest.mark.usefixtures("two_groups")
def test_existing_account_keeps_its_groups(operate, groups_of, people):
    people.open("ada@example.com")
    assert operate(*IMPORT, stdin=lines(ADA, BEA)).stdout == "1 opened, 1 there already, 0 refused.\n"
    assert groups_of() == {"ada@example.com": [], "bea@example.com": ["media"]}


@pytest.mark.both_databases
def test_existing_account_with_a_deleted_group_is_not_rejected(operate, rows):
    """As in an import that is run again."""
    operate(*IMPORT, "--create-groups", stdin=lines(ADA))
    operate("groups", "delete", "admins", "--yes")
    result = operate(*IMPORT, stdin=lines(ADA))
    assert (result.exit_code, result.output) == (0, "0 opened, 1 there already, 0 refused.\n")
    assert [row.name for row in rows(Group)] == ["media"]


@pytest.mark.both_databases
def test_rejected_line_does_not_reserve_its_email(operate, groups_of):
    """The second line creates the account."""
    result = operate(*IMPORT, stdin=lines(ADA, {"email": "ada@example.com"}))
    assert result.stdout == "1 opened, 0 there already, 1 refused.\n"
    assert groups_of() == {"ada@example.com": []}


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("media", "groups: should be a list"),
        ([["media"]], "can't be the name of a group"),
        ([5], "groups: '5' can't be the name of a group"),
        (["Media"], "groups: 'Media' can't be the name of a group: it has lower-case letters"),
        (["a,b"], "groups: 'a,b' can't be the name of a group"),
        ([""], "groups: '' can't be the name of a group"),
    ],
)
def test_invalid_groups_field_is_rejected(operate, rows, given, reason):
    result = operate(*IMPORT, "--create-groups", stdin=lines({"email": "ada@example.com", "groups": given}))
    assert result.exit_code == 1
    assert reason in result.stderr
    assert (rows(User), rows(Group)) == ([], [])


@pytest.mark.both_databases
@pytest.mark.usefixtures("two_groups")
def test_group_deleted_concurrently_does_not_affect_other_lines(operate, groups_of, rows, monkeypatch):
    real = account_creation._insert

    def insert(*given):
        monkeypatch.setattr(account_creation, "_insert", real)
        assert operate("groups", "delete", "admins", "--yes").exit_code == 0
        return real(*given)

    monkeypatch.setattr(account_creation, "_insert", insert)
    result = operate(*IMPORT, stdin=lines(ADA, BEA))
    assert result.stdout == "1 opened, 0 there already, 1 refused.\n"
    assert "line 1: groups: there is no group admins" in result.stderr
    assert groups_of() == {"bea@example.com": ["media"]}
    assert [row.name for row in rows(Group)] == ["media"]


@pytest.mark.both_databases
def test_interrupted_import_leaves_no_account_without_its_groups(app, operate, groups_of, monkeypatch):
    monkeypatch.setattr(account_creation, "BATCH", 1)

    def stop(_count: int) -> None:
        raise KeyboardInterrupt

    with app.app_context(), pytest.raises(KeyboardInterrupt):
        import_lines(lines(ADA, BEA).splitlines(), lambda *refused: None, stop, create_groups=True)
    assert groups_of() == {"ada@example.com": ["admins", "media"]}
    assert operate(*IMPORT, "--create-groups", stdin=lines(ADA, BEA)).stdout.startswith("1 opened, 1 there already")
    assert groups_of() == {"ada@example.com": ["admins", "media"], "bea@example.com": ["media"]}


CARRIED = ("email", "phone", "username", "confirmed", "disabled", "groups")
"""Fields that docs/import.md takes along from one Latchkey to another, beside methods that need no secret."""


@pytest.mark.both_databases
@pytest.mark.usefixtures("two_groups")
def test_exported_accounts_can_be_imported_with_their_groups(operate, make_app, databases, database, ada_bea_cleo):
    listed = [json.loads(line) for line in operate("users", "list", "--json").stdout.splitlines()]
    moved = [
        {name: account[name] for name in CARRIED}
        | {"methods": [name for name in account["methods"] if name in ("email", "sms")]}
        for account in listed
        if account["deletes_at"] is None
    ]
    other = make_app(database_url=databases.fresh(database.kind).url)
    result = operate(*IMPORT, "--create-groups", on=other, stdin=lines(*moved))
    assert result.stdout == "Created groups: admins, media.\n3 opened, 0 there already, 0 refused.\n"
    arrived = [json.loads(line) for line in operate("users", "list", "--json", on=other).stdout.splitlines()]
    for account in (*listed, *arrived):
        del account["handle"], account["created_at"]
    assert len(listed) == 4
    assert arrived == [account for account in listed if account["deletes_at"] is None]


@pytest.fixture
def ada_bea_cleo(operate):
    more = {"phone": "+16505551234", "username": "ada", "methods": ["email", "sms"]}
    leaving = {"email": "dee@example.com", "groups": ["media"]}
    result = operate(*IMPORT, stdin=lines(ADA | more, BEA | {"disabled": True}, leaving, CLEO | {"confirmed": False}))
    assert result.exit_code == 0
    assert operate("users", "delete", leaving["email"]).exit_code == 0
