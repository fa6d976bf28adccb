"""Groups and their members, with statements that are correct under concurrent changes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import aliased

from app.audit import Event
from app.extensions import db
from app.groups import service
from app.groups.models import MAX_NAME_LENGTH, Group, GroupMembership
from app.groups.service import UnknownGroup
from app.users import Identity, User
from tests.plans import collected, reads_whole

pytestmark = pytest.mark.both_databases

BARRIER_TIMEOUT = 0.3
"""Seconds for which a change is held back before its commit, so that another could come in between."""


@pytest.fixture
def ada(people):
    return people.open("ada@example.com")


@pytest.fixture
def bob(people):
    return people.open("bob@example.com")


@pytest.fixture
def eve(people):
    return people.open("eve@example.com")


@pytest.fixture
def groups(app, ada, bob, eve):
    """Three groups, in no particular order; the test runs in the application's context."""
    with app.app_context():
        for name in ("media", "admins", "a-team"):
            service.create(name, by="operator")
        db.session.commit()
        yield


@pytest.mark.one_database
@pytest.mark.parametrize("name", ["a", "7", "admins", "a.b_c-d", "a--", "x" * MAX_NAME_LENGTH])
def test_valid_group_name_is_accepted(name):
    assert service.is_name(name)


@pytest.mark.one_database
@pytest.mark.parametrize(
    "name",
    [
        "",
        "A",
        "-a",
        ".a",
        "_a",
        "a,b",
        "a b",
        "a\n",
        "\na",
        "é",
        "\u0661",
        "a\u2024b",
        "a/b",
        "x" * (MAX_NAME_LENGTH + 1),
    ],
)
def test_invalid_group_name_is_rejected(app, name):
    assert not service.is_name(name)
    with app.app_context(), pytest.raises(ValueError, match="lower-case letters"):
        service.create(name, by="operator")


def test_creating_an_existing_group_changes_nothing(app, rows):
    with app.app_context():
        assert service.create("admins", "Administrators", by="operator")
        assert not service.create("admins", "Others", by="operator")
        service.create("media", by="operator")
        db.session.commit()
    assert sorted((row.name, row.title) for row in rows(Group)) == [("admins", "Administrators"), ("media", "media")]
    assert [row.facts for row in rows(Event, name="group.created")] == [
        {"group": "admins", "by": "operator"},
        {"group": "media", "by": "operator"},
    ]


@pytest.mark.usefixtures("groups")
def test_memberships_and_member_counts_are_read_in_one_statement_each(ada, bob, statements):
    for name in ("media", "a-team"):
        assert service.add_member(name, ada.id, by="operator")
    service.add_member("media", bob.id, by="operator")
    with statements() as seen:
        assert service.groups_of(ada.id) == ["a-team", "media"]
    assert len(seen) == 1
    assert (service.groups_of(bob.id), service.groups_of(0)) == (["media"], [])
    with statements() as seen:
        found = [(group.name, group.members) for group in service.groups()]
    assert found == [("a-team", 1), ("admins", 0), ("media", 2)]
    assert len(seen) == 1
    assert service.summary_of("media").members == 2
    assert service.summary_of("nothing") is None


@pytest.mark.usefixtures("groups")
def test_group_names_are_sorted_bytewise(ada):
    """As claims and headers are compared: a collation of PostgreSQL would pass over the punctuation."""
    names = ["a-team", "a.team", "a_team", "ab", "a1", "b"]
    for name in names:
        service.create(name, by="operator")
        service.add_member(name, ada.id, by="operator")
    assert service.groups_of(ada.id) == sorted(names)
    assert [group.name for group in service.groups()] == sorted([*names, "admins", "media"])
    assert names_beside(ada.id) == sorted(names)


@pytest.mark.usefixtures("groups")
def test_adding_and_removing_a_member_is_idempotent(ada, rows):
    done = [service.add_member("media", ada.id, by="operator") for _ in range(2)]
    assert (done, service.groups_of(ada.id)) == ([True, False], ["media"])
    done = [service.remove_member("media", ada.id, by="operator") for _ in range(2)]
    assert (done, service.groups_of(ada.id)) == ([True, False], [])
    db.session.commit()
    for event in ("group.member_added", "group.member_removed"):
        assert [(row.user_id, row.facts) for row in rows(Event, name=event)] == [
            (ada.id, {"group": "media", "by": "operator"})
        ]


@pytest.mark.usefixtures("groups")
def test_removing_a_member_affects_no_other_membership(ada, bob):
    for name in ("admins", "media"):
        for person in (ada, bob):
            service.add_member(name, person.id, by="operator")
    service.remove_member("media", ada.id, by="operator")
    assert (service.groups_of(ada.id), service.groups_of(bob.id)) == (["admins"], ["admins", "media"])


@pytest.mark.usefixtures("groups")
@pytest.mark.parametrize("change", [service.add_member, service.remove_member])
def test_unknown_group_is_rejected(ada, change):
    with pytest.raises(UnknownGroup):
        change("nothing", ada.id, by="operator")
    with pytest.raises(UnknownGroup):
        service.delete("nothing", by="operator")
    with pytest.raises(UnknownGroup, match="nothing"):
        service.add_members({ada.id: ["media", "nothing"]}, by="operator")
    assert service.groups_of(ada.id) == []


@pytest.mark.usefixtures("groups")
def test_adding_many_members_takes_three_statements(ada, bob, rows, statements):
    with statements() as seen:
        service.add_members({ada.id: ["media", "admins"], bob.id: ["media"]}, by="operator")
        db.session.commit()
    assert len(seen) == 3
    assert (service.groups_of(ada.id), service.groups_of(bob.id)) == (["admins", "media"], ["media"])
    assert len(rows(Event, name="group.member_added")) == 3
    with statements() as seen:
        service.add_members({}, by="operator")
        service.add_members({ada.id: []}, by="operator")
    assert seen == []


@pytest.mark.usefixtures("groups")
def test_deleting_a_group_removes_its_members_and_records_an_event_for_each(ada, bob, rows):
    for person in (ada, bob):
        service.add_member("media", person.id, by="operator")
    service.add_member("admins", ada.id, by="operator")
    assert service.delete("media", by="operator") == 2
    db.session.commit()
    assert (service.groups_of(ada.id), service.groups_of(bob.id)) == (["admins"], [])
    assert sorted(row.user_id for row in rows(Event, name="group.member_removed")) == [ada.id, bob.id]
    assert [row.facts for row in rows(Event, name="group.deleted")] == [
        {"group": "media", "members": 2, "by": "operator"}
    ]
    service.create("media", by="operator")
    assert service.groups_of(ada.id) == ["admins"]


def names_beside(user_id: int) -> list[str]:
    """Return the groups as a statement about the account carries them along."""
    found = sa.select(User.id, service.group_names(User.id)).where(User.id == user_id)
    return service.names_in(db.session.execute(found).one().group_names)


@pytest.mark.usefixtures("groups")
def test_group_names_can_be_selected_per_row_in_one_statement(ada, bob, eve, statements):
    for name, person in (("media", ada), ("a-team", ada), ("media", bob)):
        service.add_member(name, person.id, by="operator")
    found = sa.select(Identity.value, service.group_names(User.id)).join(User, User.id == Identity.user_id)
    with statements() as seen:
        answer = db.session.execute(found.order_by(Identity.value)).all()
    assert answer == [("ada@example.com", "a-team,media"), ("bob@example.com", "media"), ("eve@example.com", "")]
    assert len(seen) == 1
    assert [service.names_in(text) for _, text in answer] == [["a-team", "media"], ["media"], []]


@pytest.mark.usefixtures("groups")
def test_group_names_can_be_selected_beside_a_join_with_groups(ada, bob):
    """Each reads groups separately, in one statement."""
    for name, person in (("media", ada), ("admins", bob)):
        service.add_member(name, person.id, by="operator")
    other = aliased(GroupMembership)
    found = (
        sa.select(Group.name, service.group_names(other.user_id))
        .join(GroupMembership, GroupMembership.group_id == Group.id)
        .join(other, other.user_id == GroupMembership.user_id)
        .order_by(Group.name)
    )
    assert db.session.execute(found).all() == [("admins", "admins"), ("media", "media")]


@pytest.mark.usefixtures("groups")
def test_group_queries_need_no_full_scan_of_memberships(app, ada):
    service.add_member("media", ada.id, by="operator")
    db.session.commit()
    with collected(app) as plans:
        service.groups_of(ada.id)
        names_beside(ada.id)
        service.groups()
    assert len(plans) == 3
    assert [plan for plan in plans if reads_whole(plan, "group_membership")] == []


@pytest.fixture
def at_once(app, groups, monkeypatch):
    """Makes changes concurrently: each pauses before its commit until the others could run."""
    waiting = threading.Barrier(2, timeout=BARRIER_TIMEOUT)
    real = service.record

    def record(*given, **facts):
        real(*given, **facts)
        with suppress(threading.BrokenBarrierError):
            waiting.wait()

    monkeypatch.setattr(service, "record", record)

    def change(*changes):
        starting = threading.Barrier(len(changes))

        def one(do):
            with app.app_context():
                starting.wait()
                try:
                    return do()
                except UnknownGroup:
                    return "unknown"
                finally:
                    db.session.commit()

        with ThreadPoolExecutor(len(changes)) as pool:
            return list(pool.map(one, changes))

    return change


def test_concurrent_additions_of_a_member_take_effect_once(ada, at_once, rows):
    done = at_once(*[lambda: service.add_member("media", ada.id, by="operator")] * 2)
    assert sorted(done) == [False, True]
    assert len(rows(GroupMembership)) == len(rows(Event, name="group.member_added")) == 1


def test_concurrent_removals_of_a_member_take_effect_once(ada, at_once, rows):
    service.add_member("media", ada.id, by="operator")
    db.session.commit()
    done = at_once(*[lambda: service.remove_member("media", ada.id, by="operator")] * 2)
    assert sorted(done) == [False, True]
    assert len(rows(Event, name="group.member_removed")) == 1


def test_concurrent_creations_of_a_group_take_effect_once(at_once, rows):
    done = at_once(*[lambda: service.create("family", by="operator")] * 2)
    assert sorted(done) == [False, True]
    assert len(rows(Group, name="family")) == len(rows(Event, name="group.created")) - 3 == 1


@pytest.mark.parametrize("_", range(3))
def test_addition_racing_with_group_deletion_records_both_events_or_none(ada, at_once, rows, _):
    added, left = at_once(
        lambda: service.add_member("media", ada.id, by="operator"), lambda: service.delete("media", by="operator")
    )
    assert (added, left) in [(True, 1), ("unknown", 0)]
    assert rows(GroupMembership) == []
    events = [len(rows(Event, name=f"group.member_{what}")) for what in ("added", "removed")]
    assert events == [left, left]


def test_erased_user_is_removed_from_groups(app, ada, operate_erasure, rows):
    with app.app_context():
        service.create("media", by="operator")
        service.add_member("media", ada.id, by="operator")
        db.session.commit()
    operate_erasure(ada)
    assert rows(GroupMembership) == []
    assert len(rows(Group)) == 1


@pytest.fixture
def operate_erasure(app):
    """Erases someone immediately, as an operator can."""

    def erase(person):
        done = app.test_cli_runner().invoke(args=["users", "delete", person.email, "--now", "--yes"])
        assert done.exit_code == 0, done.output

    return erase
