"""POST /us-setup with delete_method: removing sign-in methods, but never the last one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.functional.setup.conftest import PHONE, app_code, key_in, state_in
from tests.signed_in import give_token, sign_in
from tests.wire import Program

ALL = ["email", "sms", "authenticator"]


@pytest.fixture
def ada(people):
    """Someone who signs in by email, text message and app."""
    return people.open(email="ada@example.com", phone=PHONE, methods=ALL)


def test_removed_method_stops_working_immediately(hers, enrolled, ada):
    answer = hers.post("/us-setup", delete_method="authenticator")
    assert answer.ok
    assert set(answer.json) <= {"csrf_token"}
    assert enrolled() == ["email", "sms"]
    assert hers.elsewhere().post("/us-signin", identity=ada.email, passcode=ada.app_code()).status == 400


def test_several_methods_can_be_removed_at_once(hers, enrolled):
    assert hers.post("/us-setup", delete_method=["authenticator", "email"]).ok
    assert enrolled() == ["sms"]


def test_removing_sms_removes_the_phone_number(hers, enrolled, rows):
    from app.users import Identity

    assert hers.post("/us-setup", delete_method="sms").ok
    assert rows(Identity, kind="phone") == []


def test_last_method_cannot_be_removed(hers, enrolled):
    answer = hers.post("/us-setup", delete_method=ALL)
    assert (answer.status, answer.codes) == (400, ["last_method"])
    assert enrolled() == sorted(ALL)


def test_last_identity_cannot_be_removed_even_with_another_method_left(people, wire, rows):
    from app.enrollments.models import Enrollment
    from app.users import Identity

    bob = people.open(phone=PHONE, methods=["sms", "authenticator"])
    answer = sign_in(wire, bob).post("/us-setup", delete_method="sms")
    assert (answer.status, answer.codes) == (400, ["last_method"])
    assert [row.value for row in rows(Identity)] == [PHONE]
    assert len(rows(Enrollment)) == 2
    assert wire.post("/us-setup", delete_method="authenticator").ok


def test_phone_can_be_removed_if_a_username_remains(people, wire, rows):
    from app.users import Identity

    bob = people.open(phone=PHONE, username="bob", methods=["sms", "authenticator"])
    assert sign_in(wire, bob).post("/us-setup", delete_method="sms").ok
    assert [row.kind for row in rows(Identity)] == ["username"]


@pytest.mark.one_database
def test_last_method_cannot_be_removed_while_another_is_being_added(people, wire, rows):
    from app.challenges.models import Challenge
    from app.enrollments.models import Enrollment

    bob = people.open(email="bob@example.com")
    answer = sign_in(wire, bob).post("/us-setup", delete_method="email", chosen_method="authenticator")
    assert (answer.status, answer.codes) == (400, ["last_method"])
    assert [row.method for row in rows(Enrollment, user_id=bob.id)] == ["email"]
    assert rows(Challenge) == []


@pytest.mark.both_databases
def test_concurrent_removals_leave_one_method(app, people, rows):
    from app.enrollments.models import Enrollment

    bob = people.open(email="bob@example.com", methods=["email", "authenticator"])
    programs = [give_token(Program(app), bob), give_token(Program(app), bob)]
    with ThreadPoolExecutor(2) as pool:
        pairs = zip(programs, ["email", "authenticator"], strict=True)
        list(pool.map(lambda pair: pair[0].post("/us-setup", delete_method=pair[1]), pairs))
    assert len(rows(Enrollment, user_id=bob.id)) == 1


def test_one_request_can_remove_a_method_and_start_adding_another(people, wire, rows):
    from app.enrollments.models import Enrollment

    bob = sign_in(wire, people.open(email="bob@example.com", phone=PHONE))
    begun = bob.post("/us-setup", delete_method="sms", chosen_method="authenticator")
    assert [row.method for row in rows(Enrollment)] == ["email"]
    assert bob.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun))).ok
    assert {row.method for row in rows(Enrollment)} == {"email", "authenticator"}


def test_nothing_is_removed_if_the_method_to_add_is_rejected(hers, enrolled):
    answer = hers.post("/us-setup", delete_method="authenticator", chosen_method="sms", phone="12")
    assert (answer.status, answer.codes) == (400, ["phone_invalid"])
    assert enrolled() == sorted(ALL)


@pytest.mark.one_database
@pytest.mark.parametrize("names", ["pigeon", ["sms", "pigeon"], ["authenticator", ""]])
def test_unknown_method_removes_nothing(hers, enrolled, names):
    answer = hers.post("/us-setup", delete_method=names)
    assert (answer.status, answer.codes) == (400, ["us_method_not_available"])
    assert enrolled() == sorted(ALL)


@pytest.mark.one_database
@pytest.mark.settings(methods=["email", "password"])
def test_password_can_be_removed(people, wire, rows):
    from app.enrollments.models import Enrollment

    bob = people.open(email="bob@example.com", password="correct horse battery")
    assert sign_in(wire, bob).post("/us-setup", delete_method="password").ok
    assert [row.method for row in rows(Enrollment)] == ["email"]
