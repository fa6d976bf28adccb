"""GET and POST /register: an account can't be used before its address is verified."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.audit import Event
from app.enrollments.models import Enrollment
from app.users import Identity, User
from tests.sinks import code_in

explicit = pytest.mark.settings(generic_responses=False)
PASSWORD = "correct horse battery staple"
with_password = pytest.mark.settings(methods=["email", "password"])


def test_json_returns_a_csrf_token(json_wire):
    answer = json_wire.get("/register")
    assert (answer.status, set(answer.json)) == (200, {"csrf_token"})


def test_page_has_only_an_email_field(browser_wire):
    page = browser_wire.get("/register?next=/us-setup").page
    assert page.attributes("email")["inputmode"] == "email"
    assert page.value("next") == "/us-setup"
    assert "password" not in dict(page.inputs)


def test_registration_creates_an_unconfirmed_account(wire, register, rows):
    answer = register(" Ada@Example.COM ")
    if wire.language == "form":
        assert (answer.status, answer.location) == (302, "/confirm")
    else:
        assert answer.status == 200
        assert set(answer.json) == {
            "csrf_token",
            "user",
            "challenge",
            "support_id",
            "tag",
            "expires_in",
            "resend_after",
        }
        assert answer.json["user"] == {}
    assert [(row.kind, row.value, row.confirmed_at) for row in rows(Identity)] == [("email", "ada@example.com", None)]
    assert rows(User)[0].confirmed_at is None
    assert [row.method for row in rows(Enrollment)] == ["email"]
    assert wire.signed_in_as() is None


def test_confirm_page_asks_to_check_the_email(browser_wire, register):
    page = browser_wire.follow(register(by=browser_wire)).page
    assert (page.heading, page.notices) == ("Check your email", [])
    assert page.value("email") == "ada@example.com"
    assert page.attributes("passcode")["autocomplete"] == "one-time-code"


def test_no_access_token_is_returned_before_confirmation(json_wire):
    answer = json_wire.post("/register?include_auth_token", email="ada@example.com")
    assert answer.json["user"] == {}


@pytest.mark.settings(post_register_url="/us-signin")
def test_redirect_after_registration_is_configurable(browser_wire, register):
    assert register(by=browser_wire).location == "/us-signin"


@pytest.mark.one_database
@pytest.mark.parametrize("email", [None, "", "  "])
def test_email_is_required(wire, register, email):
    answer = register(email)
    assert (answer.status, answer.codes) == (400, ["email_not_provided"])
    assert list(answer.errors) == ["email"]


@pytest.mark.settings(limits=False)
def test_invalid_email_is_rejected(wire, register, rows, deliver):
    for email in (
        "ada",
        "@example.com",
        "a@b@example.com",
        "a@x.com,b@x.com",
        "a b@example.com",
        "eve@example.com <a@example.com>",
        "a@-x.com",
    ):
        answer = register(email)
        assert (answer.status, answer.codes) == (400, ["invalid_email_address"]), email
    assert rows(User) == []
    assert deliver() == []


@pytest.mark.parametrize("email", ["a@example.com\nBcc: eve@example.com", "a@example.com\r\nX: y", "a@example.com\x00"])
def test_email_with_line_break_or_nul_is_rejected(wire, register, rows, deliver, email):
    assert register(email).status == 400
    assert rows(User) == []
    assert deliver() == []


@pytest.mark.one_database
@pytest.mark.parametrize("value", [5, True, {"a": 1}, [["a"]]])
def test_email_of_the_wrong_type_is_rejected(json_wire, value):
    answer = json_wire.post("/register", email=value)
    assert (answer.status, answer.codes) == (400, ["api_error"])


@pytest.mark.parametrize("typed", ["ADA@example.com", "ａｄａ@example.com", " ada@EXAMPLE.com"])
def test_equivalent_spellings_create_one_account(wire, register, rows, typed):
    register("ada@example.com")
    register(typed, by=wire.elsewhere())
    assert len(rows(User)) == 1


def test_existing_account_is_revealed_only_by_email(wire, people, register, mail_to, rows):
    people.open(email="ada@example.com")
    assert register().ok
    mail = mail_to("ada@example.com")
    assert "already have" in mail.subject
    assert len(rows(User)) == 1
    with pytest.raises(AssertionError):
        code_in(mail)


def test_confirmation_page_is_the_same_for_a_taken_email(browser_wire, people, register):
    people.open(email="ada@example.com")
    page = browser_wire.follow(register(by=browser_wire)).page
    assert page.value("email") == "ada@example.com"
    assert "passcode" in dict(page.inputs)


@explicit
def test_explicit_mode_reports_a_taken_email(wire, people, register, deliver):
    people.open(email="ada@example.com")
    answer = register("Ada@EXAMPLE.com")
    assert (answer.status, answer.codes) == (400, ["email_already_associated"])
    assert list(answer.errors) == ["email"]
    assert deliver() == []


def test_registering_again_before_confirmation_sends_another_email(wire, register, mailed_code, smtp):
    register()
    other = wire.elsewhere()
    register(by=other)
    assert other.post("/confirm", email="ada@example.com", passcode=mailed_code()).ok
    assert len(smtp.mails) == 2


def test_concurrent_registrations_create_one_account(app, wire, rows):
    browsers = [wire.elsewhere() for _ in range(4)]
    for browser in browsers:
        browser.fetch_csrf()
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda browser: browser.post("/register", email="ada@example.com"), browsers))
    assert {answer.status for answer in answers} == {302 if wire.language == "form" else 200}
    assert len(rows(User)) == len(rows(Identity)) == len(rows(Enrollment)) == 1


@pytest.mark.settings(registration=False)
def test_closed_registration_creates_no_account(wire, register, rows):
    answer = register()
    assert (answer.status, answer.codes) == (403, ["registration_closed"])
    assert rows(User) == []


@pytest.mark.one_database
@pytest.mark.parametrize("language", ["form"])  # JSON needs none
def test_registration_requires_a_csrf_token(wire, register, rows):
    wire.get("/register")
    assert register(csrf=None).status == 400
    assert rows(User) == []
    assert rows(Event) == []


@pytest.mark.one_database
@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/\\evil.example"])
def test_external_next_is_rejected(wire, register, rows, target):
    answer = register(next=target)
    assert (answer.status, answer.codes) == (400, ["invalid_redirect"])
    assert rows(User) == []


@pytest.mark.one_database
@with_password
@pytest.mark.parametrize(
    ("password", "again", "code", "field"),
    [
        ("short", "short", "password_invalid_length", "password"),
        (PASSWORD, PASSWORD + "x", "retype_password_mismatch", "password_confirm"),
        (PASSWORD, "", "retype_password_mismatch", "password_confirm"),
        ("", PASSWORD, "password_not_provided", "password"),
        ("x" * 129, "x" * 129, "password_too_long", "password"),
    ],
)
def test_password_must_have_valid_length_and_match_its_confirmation(wire, register, rows, password, again, code, field):
    answer = register(password=password, password_confirm=again)
    assert (answer.status, answer.codes) == (400, [code])
    assert list(answer.errors) == [field]
    assert rows(User) == []


@with_password
@pytest.mark.parametrize(
    "password",
    [
        "a cold old river"[:15],
        "zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.."[:64],
        "seven herons " * 9 + "and a half.",
    ],
)
def test_password_of_valid_length_is_accepted(wire, register, mailed_code, password):
    assert register(password=password, password_confirm=password).ok
    assert wire.post("/confirm", email="ada@example.com", passcode=mailed_code()).ok
    wire.post("/logout")
    assert wire.post("/us-signin", identity="ada@example.com", passcode=password).ok


@with_password
def test_password_derived_from_the_email_is_rejected(wire, register, rows):
    answer = register("ada.lovelace@example.com", password="ada.lovelace2024", password_confirm="ada.lovelace2024")
    assert (answer.status, answer.codes) == (400, ["password_too_common"])
    assert rows(User) == []
