"""Who has an account is told by no answer (security: enumeration); and what the explicit mode says instead."""

from __future__ import annotations

import re

import pytest

from app.kit.secrets import UNAMBIGUOUS

WHO = {
    "known": "known@example.com",
    "nobody": "nobod@example.com",
    "disabled": "offen@example.com",
    "unconfirmed": "uncon@example.com",
    "bare": "baree@example.com",
}
explicit = pytest.mark.settings(generic_responses=False)


@pytest.fixture
def everybody(people):
    """One account of each kind."""
    people.open(email=WHO["known"])
    people.open(email=WHO["disabled"], disabled=True)
    people.open(email=WHO["unconfirmed"], confirmed=False)
    people.open(email=WHO["bare"], methods=["authenticator"])


def shape(answer) -> tuple:
    """Return everything about an answer that may not differ; what is random in it is left out."""
    body = re.sub("|".join(WHO.values()), "<who>", answer.text)
    body = re.sub(r"[\w-]{20,}=*", "<token>", body)
    body = re.sub(rf"\b[{UNAMBIGUOUS}]{{8}}\b|\b[{UNAMBIGUOUS}]{{4}}\b", "<mark>", body)
    body = re.sub(
        rf'(<span>|"link_characters":")(?:[{UNAMBIGUOUS}]|[{UNAMBIGUOUS}]{{3}})(</span>|")', r"\1<mark>\2", body
    )
    body = re.sub(r"\d+", "<number>", body)
    cookies = [cookie.split(";")[0].partition("=") for cookie in answer.headers.getlist("Set-Cookie")]
    lengths = {name: len(value) for name, _, value in cookies if "flash" not in name}  # it repeats what was typed
    return answer.status, tuple(sorted(answer.headers.keys())), tuple(sorted(lengths.items())), body


def shapes(wire, path: str, **fields) -> set[tuple]:
    answers = []
    for who in WHO.values():
        browser = wire.elsewhere()
        browser.fetch_csrf()
        answers.append(browser.post(path, **{name: value or who for name, value in fields.items()}))
    return {shape(answer) for answer in answers}


def test_asking_for_a_code_tells_nothing(wire, everybody):
    assert len(shapes(wire, "/us-signin/send-code", identity=None, chosen_method="email")) == 1


def test_asking_for_a_text_message_tells_nothing(wire, everybody):
    assert len(shapes(wire, "/us-signin/send-code", identity=None, chosen_method="sms")) == 1


def test_a_wrong_code_tells_nothing(wire, everybody):
    assert len(shapes(wire, "/us-signin", identity=None, passcode="00000000")) == 1


@pytest.mark.settings(methods=["password", "email"])
def test_a_wrong_password_tells_nothing(wire, everybody):
    assert len(shapes(wire, "/us-signin", identity=None, passcode="not the password of anybody")) == 1


def test_opening_an_account_tells_nothing(wire, everybody):
    assert len(shapes(wire, "/register", email=None)) == 1


def test_asking_for_a_confirmation_tells_nothing(wire, everybody):
    assert len(shapes(wire, "/confirm", email=None, send_again="y")) == 1


def test_a_wrong_confirmation_code_tells_nothing(wire, everybody):
    assert len(shapes(wire, "/confirm", email=None, passcode="00000000")) == 1


def test_an_identity_that_nobody_could_have_is_wrong_like_any(wire):
    for identity in ("", "@", "x", "+", "a@b@c", "x" * 3000):
        answer = wire.post("/us-signin", identity=identity, passcode="00000000")
        assert (answer.status, answer.codes) == (400, ["generic_authn_failed"])
        assert wire.language == "form" or list(answer.json["field_errors"]) == [""]


def test_the_errors_of_a_form_have_their_shape(json_wire):
    answer = json_wire.post("/us-signin", identity="x@example.com", passcode="1")
    assert set(answer.json) == {"errors", "field_errors", "error_codes", "support_id"}
    assert answer.json["field_errors"] == {"": answer.json["errors"]}


@explicit
@pytest.mark.parametrize(
    ("identity", "passcode", "code", "field"),
    [
        ("nobody@example.com", "00000000", "us_specify_identity", "identity"),
        ("", "00000000", "required", "identity"),
        ("ada@example.com", "00000000", "invalid_password_code", "passcode"),
        ("ada@example.com", "", "invalid_password_code", "passcode"),
    ],
)
def test_the_explicit_mode_says_what_was_wrong(wire, ada, identity, passcode, code, field):
    answer = wire.post("/us-signin", identity=identity, passcode=passcode)
    assert (answer.status, answer.codes) == (400, [code])
    assert list(answer.errors) == [field]


@explicit
@pytest.mark.parametrize(
    ("who", "method", "code", "field"),
    [
        ("nobody", "email", "us_specify_identity", "identity"),
        ("unconfirmed", "email", "confirmation_required", "identity"),
        ("bare", "email", "us_method_not_available", "chosen_method"),
        ("known", "sms", "us_method_not_available", "chosen_method"),
    ],
)
def test_the_explicit_mode_says_why_nothing_was_sent(wire, everybody, deliver, who, method, code, field):
    answer = wire.post("/us-signin/send-code", identity=WHO[who], chosen_method=method)
    assert (answer.status, answer.codes) == (400, [code])
    assert wire.language == "form" or list(answer.errors) == [field]
    assert deliver() == []


@explicit
def test_a_phone_method_without_a_number_is_told(wire, people):
    people.open(email="eve@example.com", methods=["sms"])
    answer = wire.post("/us-signin/send-code", identity="eve@example.com", chosen_method="sms")
    assert (answer.status, answer.codes) == (400, ["phone_invalid"])


@explicit
def test_an_account_is_said_to_be_disabled_only_to_its_owner(wire, people, deliver):
    eve = people.open(email="eve@example.com", methods=["email", "authenticator"], disabled=True)
    assert wire.post("/us-signin/send-code", identity=eve.email, chosen_method="email").ok
    assert deliver() == []
    assert wire.post("/us-signin", identity=eve.email, passcode="000000").codes == ["invalid_password_code"]
    assert wire.post("/us-signin", identity=eve.email, passcode=eve.app_code()).codes == ["disabled_account"]


def test_a_disabled_account_signs_in_by_nothing(wire, ada, code_for, app):
    code = code_for(ada.email)
    app.test_cli_runner().invoke(args=["users", "disable", ada.email])
    answer = wire.post("/us-signin", identity=ada.email, passcode=code)
    assert (answer.status, answer.codes) == (400, ["generic_authn_failed"])


@pytest.mark.settings(methods=["email", "authenticator", "password"])
@pytest.mark.parametrize("mode", ["generic", "explicit"])
def test_an_unproved_address_opens_no_session(wire, people, make_app, mode):
    wire.app = make_app(methods=["email", "authenticator", "password"], generic_responses=mode == "generic")
    wire.client = wire.app.test_client()
    eve = people.open(
        email="eve@example.com",
        password="a long enough password",
        methods=["password", "authenticator"],
        confirmed=False,
    )
    expected = ["generic_authn_failed"] if mode == "generic" else ["confirmation_required"]
    for passcode in (eve.password, eve.app_code()):
        assert wire.post("/us-signin", identity=eve.email, passcode=passcode).codes == expected
    assert wire.signed_in_as() is None


def test_a_mailed_code_proves_an_unproved_address(wire, people, code_for, sign_in):
    eve = people.open(email="eve@example.com", confirmed=False)
    assert sign_in(eve.email).signed_in_as() == eve.email
