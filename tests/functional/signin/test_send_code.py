"""POST /us-signin/send-code: who gets a code, and the response."""

from __future__ import annotations

import pytest

from app.challenges.models import Challenge
from tests.signed_in import sign_in

SEND = "/us-signin/send-code"


def test_json_response_has_exactly_the_documented_keys(json_wire, ada):
    answer = json_wire.post(SEND, identity=ada.email, chosen_method="email")
    assert answer.status == 200
    times = {"resend_after", "expires_in"}
    assert set(answer.json) == {"csrf_token", "challenge", "support_id", "link_characters", "tag", *times}


@pytest.mark.one_database
def test_json_response_carries_tag_resend_wait_and_expiry(json_wire, ada, mail_to, clock):
    told = json_wire.post(SEND, identity=ada.email, chosen_method="email").json
    assert (told["resend_after"] in (29, 30), told["expires_in"] in (599, 600)) == (True, True)
    assert told["tag"] in mail_to(ada.email).subject
    clock.shift(40)
    assert json_wire.post(SEND, identity=ada.email, chosen_method="email").json["tag"] == told["tag"]
    nobody = json_wire.post(SEND, identity="nobody@example.com", chosen_method="email").json
    assert {name: type(value) for name, value in nobody.items()} == {name: type(value) for name, value in told.items()}


@pytest.mark.one_database
def test_reauthentication_send_code_returns_the_same_keys(json_wire, ada):
    told = sign_in(json_wire, ada).post("/us-verify/send-code", chosen_method="email").json
    assert {"challenge", "tag", "resend_after", "expires_in"} <= set(told)


def test_browser_is_redirected_to_the_code_page(browser_wire, ada, rows):
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
def test_methods_that_send_no_code_are_rejected(wire, ada, method, code, deliver):
    answer = wire.post(SEND, identity=ada.email, chosen_method=method)
    assert (answer.status, answer.codes) == (400, [code])
    assert wire.language == "form" or answer.errors.keys() == {"chosen_method"}
    assert deliver() == []


@pytest.mark.one_database
def test_missing_identity_returns_required_error(wire):
    answer = wire.post(SEND, chosen_method="email")
    assert (answer.status, answer.codes) == (400, ["required"])
    assert list(answer.errors) == ["identity"]


@pytest.mark.one_database
@pytest.mark.settings(limits=False)
@pytest.mark.parametrize("name", ["identity", "chosen_method", "next", "challenge"])
def test_field_of_the_wrong_type_is_rejected(json_wire, ada, name):
    for value in (5, True, {"a": 1}, [["a"]], 1.5):
        fields = {"identity": ada.email, "chosen_method": "email"} | {name: value}
        answer = json_wire.post(SEND, **fields)
        assert (answer.status, answer.codes) == (400, ["api_error"]), value
        assert list(answer.json["field_errors"]) == [name]


def test_first_value_of_a_json_list_is_used(json_wire, ada, mail_to):
    assert json_wire.post(SEND, identity=[ada.email, "eve@example.com"], chosen_method=["email"]).ok
    assert mail_to(ada.email).to == [ada.email]


@pytest.mark.parametrize("identity", ["ada@example.com", "nobody@example.com", "+16505551234", "nobody"])
def test_known_and_unknown_identities_get_the_same_response(wire, ada, identity):
    answer = wire.post(SEND, identity=identity, chosen_method="email")
    assert answer.status == (200 if wire.language == "json" else 303)
    assert answer.errors == {}


@pytest.mark.settings(registration=False)
@pytest.mark.parametrize("identity", ["nobody@example.com", "off@example.com", "bare@example.com"])
def test_nothing_is_sent_to_identities_that_cannot_sign_in_by_email(wire, people, deliver, identity):
    people.open(email="off@example.com", disabled=True)
    people.open(email="bare@example.com", methods=["authenticator"])
    assert wire.post(SEND, identity=identity, chosen_method="email").ok
    assert deliver() == []


def test_email_goes_to_the_stored_address_not_the_typed_one(wire, people, deliver):
    people.open(email="mike@example.com")
    for typed in ("ＭＩＫＥ@example.com", "mi\u212ae@example.com", "MIKE@EXAMPLE.COM"):
        wire.elsewhere().post(SEND, identity=typed, chosen_method="email")
    arrived = deliver()
    assert len(arrived) == 3
    assert {tuple(mail.to) for mail in arrived} == {("mike@example.com",)}


@pytest.mark.parametrize("identity", ["mıke@example.com", "mike@example.com@x", "mike@example.com,eve@example.com"])
def test_lookalike_address_is_sent_nothing(wire, people, deliver, identity):
    people.open(email="mike@example.com")
    wire.post(SEND, identity=identity, chosen_method="email")
    assert deliver() == []


@pytest.mark.parametrize("language", ["form"])  # JSON needs none
def test_missing_csrf_token_is_rejected_and_sends_nothing(wire, ada, deliver):
    wire.get("/us-signin")
    answer = wire.post(SEND, csrf=None, identity=ada.email, chosen_method="email")
    assert (answer.status, answer.codes) == (400, ["csrf_token_missing"])
    assert deliver() == []


def test_emails_are_limited_to_five_per_account_and_hour(wire, ada, clock, smtp, deliver):
    for _ in range(8):
        assert wire.elsewhere().post(SEND, identity=ada.email, chosen_method="email").ok
    deliver()
    assert len(smtp.mails) == 5
    clock.shift(3601)
    wire.post(SEND, identity=ada.email, chosen_method="email")
    deliver()
    assert len(smtp.mails) == 6


def test_code_requests_are_limited_to_twenty_per_ip_address(wire):
    for number in range(20):
        assert wire.post(SEND, identity=f"person{number}@example.com", chosen_method="email").ok
    answer = wire.post(SEND, identity="one-more@example.com", chosen_method="email")
    assert (answer.status, answer.codes) == (429, ["too_many_requests"])
    assert int(answer.headers["Retry-After"]) > 0
    assert wire.elsewhere(address="192.0.2.7").post(SEND, identity="x@example.com", chosen_method="email").ok
