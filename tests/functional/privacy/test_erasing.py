"""Erasing an account: nothing identifies its owner afterwards, and its ID is never reused."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import make_url

from app.audit import Event
from app.privacy import deletion
from app.privacy.models import Deletion
from app.users import Identity, User
from tests.databases import content_of
from tests.functional.privacy.test_leaving import undo_in
from tests.signed_in import sign_in

pytestmark = pytest.mark.both_databases

DAY = 24 * 3600
WEEK = 7 * DAY


@pytest.fixture
def left(json_wire, ada, mail_to):
    """The link that keeps the account, after Ada has used it a little and requested its deletion."""
    json_wire.elsewhere().post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    json_wire.elsewhere().post("/us-signin", identity=ada.email, passcode="00000000")
    wire = sign_in(json_wire, ada)
    assert wire.post("/my-data/export").ok
    assert wire.post("/my-data/delete", sure=True).ok
    return undo_in(mail_to(ada.email))


def everything(database) -> str:
    """Return every value of every table but those of the schema."""
    return "\n".join(str(row) for table in database._tables for row in database.query(f'SELECT * FROM "{table}"'))


def test_account_is_not_erased_before_the_deadline(left, work, rows, clock):
    clock.shift(WEEK - 60)
    work()
    assert len(rows(User)) == 1


def test_erased_account_leaves_no_personal_data(left, ada, work, rows, clock, database):
    handle = rows(User)[0].handle
    clock.shift(WEEK + 1)
    work()
    left_over = everything(database)
    traces = [ada.email, ada.phone, handle, "127.0.0.1", "Chrome", "program/1"]
    assert [trace for trace in traces if trace in left_over] == []
    full = {table for table in database._tables if database.query(f'SELECT 1 FROM "{table}" LIMIT 1')}
    assert full <= {"event", "standing", "send_window", "repeat"}


def test_events_of_an_erased_account_are_pseudonymized(left, ada, work, rows, clock):
    before = sorted(event.name for event in rows(Event, user_id=ada.id))
    clock.shift(WEEK + 1)
    work()
    after = rows(Event)
    [pseudonym] = {event.user_id for event in after if event.user_id is not None}
    assert sorted(event.name for event in after if event.user_id) == sorted([*before, "account.deleted"])
    assert pseudonym < 0
    told = ("address", "agent", "support_id", "request_id", "challenge_id")
    assert {getattr(event, name) or None for event in after for name in told if event.user_id} == {None}
    assert all(event.facts == {} for event in after if event.user_id)


def test_email_of_an_erased_account_can_be_reused_without_seeing_old_data(
    left, ada, people, work, rows, clock, json_wire
):
    clock.shift(WEEK + 1)
    work()
    new = people.open(email=ada.email)
    assert new.id > ada.id
    wire = sign_in(json_wire.elsewhere(), new)
    assert [event["event"] for event in wire.get("/activity").json["events"]] == ["sign_in.succeeded"]
    assert len(wire.get("/sessions").json["sessions"]) == 1
    assert wire.get("/my-data").json["exports"] == []
    assert json_wire.elsewhere().post("/us-signin", identity=ada.email, passcode=ada.app_code()).status == 400


def test_user_ids_are_never_reused(people, database):
    ids = []
    for _ in range(3):
        ids.append(people.open().id)
        database.query(f'DELETE FROM "user" WHERE id = {ids[-1]} RETURNING id')
    assert ids == sorted(set(ids))


def test_late_event_of_an_erased_user_is_not_shown_to_the_next_owner(
    left, ada, work, people, clock, database, json_wire
):
    clock.shift(WEEK + 1)
    work()
    late = "INSERT INTO event (at, name, user_id, support_id, request_id, address, agent, facts) VALUES"
    database.query(f"{late} ('2027-01-01 00:00:00', 'factor.added', {ada.id}, '', '', '', '', '{{}}') RETURNING id")
    wire = sign_in(json_wire.elsewhere(), people.open(email=ada.email))
    assert "factor.added" not in {event["event"] for event in wire.get("/activity").json["events"]}


def test_undo_link_returns_404_after_erasure(left, work, clock, json_wire):
    clock.shift(WEEK + 1)
    work()
    clock.shift(-DAY)
    assert json_wire.elsewhere().post(left, sure=True).status == 404


def test_events_are_pseudonymized_in_batches(app, left, ada, work, rows, clock, monkeypatch):
    monkeypatch.setattr(deletion, "EVENTS_PER_BATCH", 2)
    clock.shift(WEEK + 1)
    work()
    assert rows(Event, user_id=ada.id) == []
    assert rows(User) == []


def test_erasure_resumes_after_a_crash(app, left, ada, work, rows, clock, monkeypatch):
    clock.shift(WEEK + 1)
    monkeypatch.setattr(deletion, "erase", lambda *_: 1 / 0)
    work()
    assert len(rows(User)) == 1
    half = {event.user_id for event in rows(Event)} - {None}
    monkeypatch.undo()
    clock.shift(61)
    work()
    assert rows(User) == []
    assert {event.user_id for event in rows(Event)} - {None} == half


def test_erasure_does_not_touch_other_accounts(left, people, work, clock, json_wire, rows):
    eve = people.open(email="eve@example.com", phone="+16502530001")
    sign_in(json_wire.elsewhere(), eve)
    before = [(event.name, event.address) for event in rows(Event, user_id=eve.id)]
    clock.shift(WEEK + 1)
    work()
    assert [(event.name, event.address) for event in rows(Event, user_id=eve.id)] == before
    assert [user.id for user in rows(User)] == [eve.id]


# --- races ------------------------------------------------------------------------------------------


def at_once(app, *jobs) -> list:
    """Run jobs at the same moment, each in a context of its own; return what they returned or raised."""
    start, found = threading.Barrier(len(jobs)), [None] * len(jobs)

    def run(number: int, job) -> None:
        from app.extensions import db

        with app.app_context():
            start.wait()
            try:
                found[number] = job()
                db.session.commit()
            except Exception as error:
                db.session.rollback()
                found[number] = error

    threads = [threading.Thread(target=run, args=each) for each in enumerate(jobs)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return found


def the_user():
    """Return the only user, as read in the current context."""
    from app.extensions import db

    return db.session.scalars(sa.select(User)).one()


@pytest.mark.parametrize("_round", range(4))
def test_concurrent_undo_and_erasure_have_one_winner(app, left, rows, clock, _round):
    clock.shift(WEEK + 1)

    def undo() -> bool:
        return deletion.cancel_requested(the_user(), late=True)

    kept, _erased = at_once(app, undo, lambda: deletion.erase_one(threading.Event()))
    if kept is True:
        assert (len(rows(User)), rows(Deletion), rows(User)[0].deletes_at) == (1, [], None)
        assert len(rows(Identity)) == 2
    else:
        assert (rows(User), rows(Identity), rows(Deletion)) == ([], [], [])
    names = [event.name for event in rows(Event)]
    assert (names.count("account.deletion_undone"), names.count("account.deleted")) == (
        (1, 0) if kept is True else (0, 1)
    )


def test_concurrent_workers_erase_an_account_once(app, left, rows, clock):
    clock.shift(WEEK + 1)
    at_once(app, *[lambda: deletion.erase_one(threading.Event())] * 8)
    assert (rows(User), len(rows(Event, name="account.deleted"))) == ([], 1)


def test_concurrent_deletion_requests_are_recorded_once(app, ada, rows, deliver):
    at_once(app, *[lambda: deletion.schedule_deletion(the_user())] * 4)
    assert (len(rows(Deletion)), len(rows(Event, name="account.deletion_requested")), len(deliver())) == (1, 1, 1)


def test_session_opened_during_deletion_request_is_invalid(app, wire, ada, rows):
    from app.authenticators.base import VerifiedFactor
    from app.client import ClientContext
    from app.login.pipeline import SignIn, open_session

    def sign_in_now() -> str:
        from flask import g

        with app.test_request_context():
            from app.extensions import db

            user, client = db.session.get(User, ada.id), ClientContext("", "127.0.0.1", "late")
            open_session(SignIn(client, user=user, factors=(VerifiedFactor("email"),)))
            db.session.commit()
            return g.session_cookie[0]

    user = rows(User)[0]
    token, _ = at_once(app, sign_in_now, lambda: deletion.schedule_deletion(the_user()))
    wire.client.set_cookie("latchkey_session", token)
    assert wire.signed_in_as() is None
    with app.app_context():
        from app.extensions import db

        assert deletion.cancel_requested(db.session.get(User, user.id))
        db.session.commit()
    assert wire.signed_in_as() is None


# --- accounts that nobody confirmed -----------------------------------------------------------------


@pytest.fixture
def unconfirmed(people):
    """An account that someone created with a stranger's address."""
    return people.open(email="new@example.com", confirmed=False)


def test_unconfirmed_account_is_erased_silently_after_a_week(app, unconfirmed, ada, work, rows, clock, deliver):
    clock.shift(WEEK - 60)
    work()
    assert len(rows(User)) == 2
    clock.shift(61)
    work()
    assert [user.id for user in rows(User)] == [ada.id]
    assert (deliver(), [event.name for event in rows(Event) if event.name.startswith("account.del")]) == ([], [])


def test_unconfirmed_account_is_kept_while_a_link_can_confirm_it(unconfirmed, json_wire, work, rows, clock, mail_to):
    clock.shift(WEEK + 60)
    json_wire.post("/confirm", email=unconfirmed.email, send_again=True)
    work()
    assert len(rows(User)) == 1
    clock.shift(2 * DAY)
    work()
    assert rows(User) == []


@pytest.mark.settings(unconfirmed_keep=0)
def test_unconfirmed_accounts_are_kept_if_configured(unconfirmed, work, rows, clock):
    clock.shift(100 * DAY)
    work()
    assert len(rows(User)) == 1


def test_erasure_deletes_messages_of_other_users_to_the_email(
    left, ada, people, work, rows, clock, json_wire, database, deliver
):
    eve = people.open(email="eve@example.com")
    hers = sign_in(json_wire.elsewhere(), eve)
    assert hers.post("/identities/add", email=ada.email).ok
    deliver()
    assert ada.email in everything(database)
    clock.shift(WEEK + 1)
    work()
    assert ada.email not in everything(database)
    assert [row.value for row in rows(Identity)] == [eve.email]


def test_erased_data_is_not_left_in_freed_database_pages(left, ada, work, clock, database):
    clock.shift(WEEK + 1)
    work()
    if database.kind == "sqlite":
        database.query("PRAGMA wal_checkpoint(TRUNCATE)")
        assert ada.email.encode() not in content_of(Path(make_url(database.url).database))
    assert ada.email not in everything(database)
