"""/us-verify: reauthentication, which is fresh for 300 seconds."""

from __future__ import annotations

import pytest

from tests.signed_in import give_token, may_change, sign_in
from tests.sinks import code_in, links_in


@pytest.fixture
def ada(people):
    """Someone who signs in by email and by app."""
    return people.open(email="ada@example.com", methods=["authenticator", "email"])


@pytest.fixture
def hers(wire, ada):
    """Her browser, then her API client, signed in."""
    return sign_in(wire, ada)


def is_fresh(wire) -> bool:
    return may_change(wire)


@pytest.mark.one_database
def test_json_lists_reauthentication_methods(json_wire, ada):
    answer = sign_in(json_wire, ada).get("/us-verify").json
    assert answer.pop("csrf_token")
    assert answer == {
        "available_methods": ["email", "authenticator"],
        "code_methods": ["email"],
        "reauth_methods": ["authenticator"],
        "has_webauthn_verify_credential": False,
        "oauth_enabled": False,
        "oauth_providers": [],
    }


@pytest.mark.one_database
@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", ""), ("POST", "/send-code")])
def test_anonymous_user_is_asked_to_sign_in(wire, method, path):
    answer = wire.send(method, f"/us-verify{path}")
    assert answer.status == (401 if wire.language == "json" else 302)
    assert answer.location in (None, f"/login?next=%2Fus-verify{path.replace('/', '%2F')}")


def test_email_code_makes_the_session_fresh(wire, people, clock, mail_to):
    ada = people.open(email="ada@example.com")
    hers = sign_in(wire, ada)
    clock.shift(301)
    assert not is_fresh(hers)
    assert hers.post("/us-verify/send-code", chosen_method="email").ok
    answer = hers.post("/us-verify", passcode=code_in(mail_to(ada.email)))
    assert answer.ok
    assert is_fresh(hers)
    clock.shift(301)
    assert not is_fresh(hers)


def test_authenticator_code_makes_the_session_fresh(hers, ada, clock):
    clock.shift(301)
    answer = hers.post("/us-verify", passcode=ada.app_code())
    assert answer.ok
    assert hers.language == "form" or set(answer.json) == {"csrf_token", "user"}
    assert is_fresh(hers)


def test_reauthentication_rotates_the_session_cookie(hers, ada):
    before = hers.cookies["latchkey_session"]
    assert hers.post("/us-verify", passcode=ada.app_code()).ok
    assert hers.cookies["latchkey_session"] != before
    assert hers.signed_in_as() == ada.email
    stolen = hers.elsewhere()
    stolen.client.set_cookie("latchkey_session", before)
    assert stolen.signed_in_as() is None


@pytest.mark.one_database
def test_wrong_code_does_not_make_the_session_fresh(hers, clock, rows):
    from app.audit import Event

    clock.shift(301)
    answer = hers.post("/us-verify", passcode="123456")
    assert (answer.status, answer.codes, list(answer.errors)) == (400, ["invalid_password_code"], ["passcode"])
    assert not is_fresh(hers)
    assert [event.facts["purpose"] for event in rows(Event, name="sign_in.failed")] == ["verify"]


def test_code_is_invalid_after_five_wrong_attempts(hers, ada, mail_to):
    hers.post("/us-verify/send-code", chosen_method="email")
    code = code_in(mail_to(ada.email))
    for guess in range(1, 6):
        hers.post("/us-verify", passcode=f"{(int(code) + guess) % 10**8:08}")
    assert hers.post("/us-verify", passcode=code).codes == ["invalid_password_code"]


def test_code_can_be_used_once(hers, ada, mail_to):
    hers.post("/us-verify/send-code", chosen_method="email")
    code = code_in(mail_to(ada.email))
    assert hers.post("/us-verify", passcode=code).ok
    assert hers.post("/us-verify", passcode=code).status == 400


@pytest.mark.one_database
def test_sign_in_code_does_not_verify(hers, ada, mail_to):
    hers.elsewhere().post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    assert hers.post("/us-verify", passcode=code_in(mail_to(ada.email))).status == 400


@pytest.mark.one_database
def test_verification_code_does_not_sign_in(hers, ada, mail_to):
    hers.post("/us-verify/send-code", chosen_method="email")
    code = code_in(mail_to(ada.email))
    hers.post("/logout")
    assert hers.post("/us-signin", identity=ada.email, passcode=code).status == 400
    assert hers.signed_in_as() is None


@pytest.mark.one_database
def test_authenticator_code_of_another_user_does_not_verify(hers, people, clock):
    bob = people.open(email="bob@example.com", methods=["authenticator"])
    clock.shift(301)
    assert hers.post("/us-verify", passcode=bob.app_code()).status == 400
    assert not is_fresh(hers)


@pytest.mark.one_database
def test_email_contains_a_code_but_no_sign_in_link(hers, ada, mail_to):
    hers.post("/us-verify/send-code", chosen_method="email")
    mail = mail_to(ada.email)
    assert code_in(mail)
    assert not [link for link in links_in(mail) if "token" in link]


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("method", "code"),
    [
        (None, "us_method_not_available"),
        ("sms", "us_method_not_available"),
        ("authenticator", "invalid_choice"),
        ("password", "invalid_choice"),
        ("pigeon", "invalid_choice"),
    ],
)
def test_method_that_cannot_send_codes_is_rejected(hers, method, code, deliver):
    answer = hers.post("/us-verify/send-code", chosen_method=method)
    assert (answer.status, answer.codes) == (400, [code])
    assert list(answer.errors) == ["chosen_method" if hers.language == "json" else ""]
    assert deliver() == []


@pytest.mark.one_database
def test_browser_returns_to_the_requested_page_after_reauthentication(browser_wire, ada, clock):
    sign_in(browser_wire, ada)
    clock.shift(301)
    sent_away = browser_wire.post("/us-setup?tab=1", delete_method="email")
    page = browser_wire.follow(sent_away).page
    assert page.value("next") == "/us-setup?tab=1"
    done = browser_wire.post("/us-verify", passcode=ada.app_code(), next=page.value("next"))
    assert (done.status, done.location) == (302, "/us-setup?tab=1")
    assert browser_wire.follow(done).page.notices[0][0] == "success"


@pytest.mark.one_database
@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_external_redirect_target_is_rejected(hers, ada, target):
    answer = hers.post("/us-verify", passcode=ada.app_code(), next=target)
    assert (answer.status, answer.codes) == (400, ["invalid_redirect"])


@pytest.mark.one_database
def test_api_client_without_cookies_exchanges_its_token_for_a_fresh_one(program, people, clock, mail_to):
    ada = people.open(email="ada@example.com")
    give_token(program, ada)
    clock.shift(301)
    assert not is_fresh(program)
    sent = program.post("/us-verify/send-code", chosen_method="email")
    code = code_in(mail_to(ada.email))
    done = program.post("/us-verify?include_auth_token", passcode=code, challenge=sent.json["challenge"])
    assert done.ok
    assert program.signed_in_as() is None, "the new token takes the old one's place"
    program.token = done.json["user"]["authentication_token"]
    assert is_fresh(program)


@pytest.mark.one_database
def test_access_token_is_returned_only_on_request(program, ada):
    answer = give_token(program, ada).post("/us-verify", passcode=ada.app_code())
    assert "authentication_token" not in answer.json["user"]


@pytest.mark.one_database
def test_code_works_only_in_the_browser_it_was_requested_from(hers, ada, mail_to):
    elsewhere = sign_in(hers.elsewhere(), ada)
    hers.post("/us-verify/send-code", chosen_method="email")
    code = code_in(mail_to(ada.email))
    assert elsewhere.post("/us-verify", passcode=code).status == 400
    assert hers.post("/us-verify", passcode=code).ok


@pytest.mark.one_database
@pytest.mark.settings(freshness_grace_period=600)
def test_grace_period_is_not_extended_by_use(hers, clock):
    clock.shift(200)
    hers.post("/tf-setup", setup="authenticator")
    for _ in range(5):  # up to 700 s; the grace that began at 200 s ends at 800 s
        clock.shift(100)
        begun = hers.post("/tf-setup", setup="authenticator")
        assert begun.status == (200 if hers.language == "json" else 303)
        assert "us-verify" not in (begun.location or ""), "it was begun, not put off until they prove again"
    clock.shift(101)
    assert not is_fresh(hers)


@pytest.mark.one_database
def test_reauthentication_is_recorded_in_session_and_audit_log(wire, ada, rows):
    from app.audit import Event
    from app.sessions.models import AuthSession

    hers = sign_in(wire, ada, via="email")
    hers.post("/us-verify", passcode=ada.app_code())
    assert [row.amr for row in rows(AuthSession, kind="browser")] == ["email,authenticator"]
    assert [event.facts["method"] for event in rows(Event, name="sign_in.step_up")] == ["authenticator"]
