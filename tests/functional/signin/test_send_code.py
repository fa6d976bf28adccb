"""POST /us-signin/send-code: who gets a code, and what is said about it."""

from __future__ import annotations

import pytest

from app.challenges.models import Challenge
from tests.signed_in import sign_in

SEND = "/us-signin/send-code"


def test_a_program_is_told_the_challenge_and_the_characters_and_nothing_else(json_wire, ada):
    answer = json_wire.post(SEND, identity=ada.email, chosen_method="email")
    assert answer.status == 200
    times = {"resend_after", "expires_in"}
    assert set(answer.json) == {"csrf_token", "challenge", "support_id", "link_characters", "tag", *times}


@pytest.mark.one_database
def test_a_program_is_told_what_a_page_shows(json_wire, ada, mail_to, clock):
    told = json_wire.post(SEND, identity=ada.email, chosen_method="email").json
    assert (told["resend_after"] in (29, 30), told["expires_in"] in (599, 600)) == (True, True)
    assert told["tag"] in mail_to(ada.email).subject
    clock.shift(40)
    assert json_wire.post(SEND, identity=ada.email, chosen_method="email").json["tag"] == told["tag"]
    nobody = json_wire.post(SEND, identity="nobody@example.com", chosen_method="email").json
    assert {name: type(value) for name, value in nobody.items()} == {name: type(value) for name, value in told.items()}


@pytest.mark.one_database
def test_who_proves_it_again_is_told_the_same(json_wire, ada):
    told = sign_in(json_wire, ada).post("/us-verify/send-code", chosen_method="email").json
    assert {"challenge", "tag", "resend_after", "expires_in"} <= set(told)


def test_a_browser_sees_where_to_enter_the_code(browser_wire, ada, rows):
    answer = browser_wire.post(SEND, identity="Ada@Example.com", chosen_method="email")
    assert (answer.status, answer.location) == (303, "/us-signin")
    assert answer.page.value("identity") == "Ada@Example.com"
    assert answer.page.attributes("passcode")["inputmode"] == "numeric"
    assert rows(Challenge)[0].tag in answer.text


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("authenticator", "invalid_choice"),
        ("password", "invalid_choice"),
        ("pigeon", "invalid_choice"),
    ],
)
def test_only_methods_that_send_something_can_be_chosen(wire, ada, method, code, deliver):
    answer = wire.post(SEND, identity=ada.email, chosen_method=method)
    assert (answer.status, answer.codes) == (400, [code])
    assert wire.language == "form" or answer.errors.keys() == {"chosen_method"}
    assert deliver() == []


@pytest.mark.one_database
def test_an_identity_is_required(wire):
    answer = wire.post(SEND, chosen_method="email")
    assert (answer.status, answer.codes) == (400, ["required"])
    assert list(answer.errors) == ["identity"]


@pytest.mark.one_database
@pytest.mark.settings(limits=False)
@pytest.mark.parametrize("name", ["identity", "chosen_method", "next", "challenge"])
def test_a_field_of_the_wrong_type_is_refused(json_wire, ada, name):
    for value in (5, True, {"a": 1}, [["a"]], 1.5):
        fields = {"identity": ada.email, "chosen_method": "email"} | {name: value}
        answer = json_wire.post(SEND, **fields)
        assert (answer.status, answer.codes) == (400, ["api_error"]), value
        assert list(answer.json["field_errors"]) == [name]


def test_a_list_stands_for_its_first_value(json_wire, ada, mail_to):
    assert json_wire.post(SEND, identity=[ada.email, "eve@example.com"], chosen_method=["email"]).ok
    assert mail_to(ada.email).to == [ada.email]


@pytest.mark.parametrize("identity", ["ada@example.com", "nobody@example.com", "+16505551234", "nobody"])
def test_any_identity_gets_the_same_answer(wire, ada, identity):
    answer = wire.post(SEND, identity=identity, chosen_method="email")
    assert answer.status == (200 if wire.language == "json" else 303)
    assert answer.errors == {}


@pytest.mark.settings(registration=False)
@pytest.mark.parametrize("identity", ["nobody@example.com", "off@example.com", "bare@example.com"])
def test_nothing_is_sent_to_who_cannot_sign_in_by_mail(wire, people, deliver, identity):
    people.open(email="off@example.com", disabled=True)
    people.open(email="bare@example.com", methods=["authenticator"])
    assert wire.post(SEND, identity=identity, chosen_method="email").ok
    assert deliver() == []


def test_mail_goes_to_the_stored_address(wire, people, deliver):
    people.open(email="mike@example.com")
    for typed in ("ＭＩＫＥ@example.com", "mi\u212ae@example.com", "MIKE@EXAMPLE.COM"):
        wire.elsewhere().post(SEND, identity=typed, chosen_method="email")
    arrived = deliver()
    assert len(arrived) == 3
    assert {tuple(mail.to) for mail in arrived} == {("mike@example.com",)}


@pytest.mark.parametrize("identity", ["mıke@example.com", "mike@example.com@x", "mike@example.com,eve@example.com"])
def test_a_look_alike_address_reaches_nobody(wire, people, deliver, identity):
    people.open(email="mike@example.com")
    wire.post(SEND, identity=identity, chosen_method="email")
    assert deliver() == []


@pytest.mark.parametrize("language", ["form"])  # JSON needs none
def test_without_a_token_nothing_is_sent(wire, ada, deliver):
    wire.get("/us-signin")
    answer = wire.post(SEND, csrf=None, identity=ada.email, chosen_method="email")
    assert (answer.status, answer.codes) == (400, ["csrf_token_missing"])
    assert deliver() == []


def test_five_mails_an_hour_go_to_one_account(wire, ada, clock, smtp, deliver):
    for _ in range(8):
        assert wire.elsewhere().post(SEND, identity=ada.email, chosen_method="email").ok
    deliver()
    assert len(smtp.mails) == 5
    clock.shift(3601)
    wire.post(SEND, identity=ada.email, chosen_method="email")
    deliver()
    assert len(smtp.mails) == 6


def test_twenty_codes_in_ten_minutes_are_asked_for_from_one_address(wire):
    for number in range(20):
        assert wire.post(SEND, identity=f"person{number}@example.com", chosen_method="email").ok
    answer = wire.post(SEND, identity="one-more@example.com", chosen_method="email")
    assert (answer.status, answer.codes) == (429, ["too_many_requests"])
    assert int(answer.headers["Retry-After"]) > 0
    assert wire.elsewhere(address="192.0.2.7").post(SEND, identity="x@example.com", chosen_method="email").ok
