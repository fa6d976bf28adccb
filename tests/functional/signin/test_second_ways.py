"""Every way to sign in leads to the second step, and none bypasses it."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.second import PENDING, begin, first_step, taken
from tests.sinks import code_in, denial_in, link_in
from tests.wire import Wire

PHONE = "+16502530000"
NEEDS = pytest.mark.settings(methods=["email", "sms", "authenticator", "password"])


def ends_in_the_second_step(wire, person, rows) -> None:
    """Check that nobody is signed in, and that only the app's code was missing."""
    from app.sessions.models import AuthSession

    assert PENDING in wire.cookies
    assert rows(AuthSession) == []
    assert wire.get("/tf-validate").ok
    assert wire.post("/tf-validate", code=person.app_code()).ok
    assert wire.signed_in_as() == person.email


@NEEDS
def test_password_sign_in_requires_the_second_factor(wire, people, rows):
    bob = people.open(email="bob@example.com", password="correct horse battery", methods=["password", "authenticator"],
                      second="authenticator")  # fmt: skip
    assert wire.post("/login", identity=bob.email, passcode="correct horse battery").ok
    ends_in_the_second_step(wire, bob, rows)


def test_sms_sign_in_requires_the_second_factor(wire, people, text_to, rows):
    bob = people.open(email="bob@example.com", phone=PHONE, methods=["sms", "authenticator"], second="authenticator")
    wire.post("/us-signin/send-code", identity=PHONE, chosen_method="sms")
    assert wire.post("/us-signin", identity=PHONE, passcode=code_in(text_to(PHONE))).ok
    ends_in_the_second_step(wire, bob, rows)


def test_magic_link_sign_in_requires_the_second_factor(wire, bob, link_for, rows):
    answer = wire.get(link_for(bob.email))
    assert (answer.status, answer.location) == (302, "/tf-validate")
    ends_in_the_second_step(wire, bob, rows)


def test_magic_link_with_second_factor_redirects_to_next(wire, bob, link_for):
    answer = wire.get(link_for(bob.email, next="/sessions"))
    assert answer.location == "/tf-validate?next=%2Fsessions"
    wire.get("/tf-validate")
    done = wire.post("/tf-validate", code=bob.app_code())
    assert done.location == ("/sessions" if wire.language == "form" else None)


@pytest.mark.settings(redirect_behavior="spa", post_login_url="/app")
def test_spa_magic_link_sign_in_requires_the_second_factor(wire, bob, link_for, rows):
    answer = wire.get(link_for(bob.email))
    assert (answer.status, answer.location) == (302, "/app?tf_required=1")
    assert bob.email not in answer.location
    if wire.language == "json":
        told = wire.get("/tf-validate").json
        assert (told["tf_required"], told["tf_state"], told["tf_method"]) == (True, "ready", "authenticator")
    ends_in_the_second_step(wire, bob, rows)


def test_posted_link_token_requires_the_second_factor(wire, bob, link_for, rows):
    token = link_for(bob.email).partition("token=")[2]
    answer = wire.post("/us-verify-link", token=token)
    assert answer.ok
    assert answer.json.get("tf_required", True) is True
    ends_in_the_second_step(wire, bob, rows)


def test_link_approved_on_another_device_requires_the_second_factor(wire, bob, mail_to, rows):
    from tests.functional.signin.test_link_elsewhere import characters_in, named_in

    asked = wire.post("/us-signin/send-code", identity=bob.email, chosen_method="email")
    token = link_in(mail_to(bob.email), "/us-verify-link").partition("token=")[2]
    assert wire.elsewhere().post("/us-verify-link", token=token, characters=characters_in(asked)).ok
    assert wire.post("/us-signin/continue", challenge=named_in(asked)).ok
    ends_in_the_second_step(wire, bob, rows)


@pytest.mark.settings(second_factor="required")
@pytest.mark.parametrize("by", ["code", "link"])
def test_registration_requires_second_factor_enrollment_when_required(wire, mail_to, rows, by):
    from app.sessions.models import AuthSession

    wire.post("/register", email="new@example.com")
    mail = mail_to("new@example.com")
    if by == "code":
        answer = wire.post("/confirm", email="new@example.com", passcode=code_in(mail))
    else:
        answer = wire.get(link_in(mail, "/confirm/").removeprefix("http://localhost"))
    assert answer.status == 200 or answer.location == "/tf-setup"
    assert rows(AuthSession) == []
    assert PENDING in wire.cookies


def test_first_factor_method_cannot_serve_as_second_factor(wire, people, text_to):
    people.open(email="bob@example.com", phone=PHONE, second="sms")
    wire.post("/us-signin/send-code", identity=PHONE, chosen_method="sms")
    answer = wire.post("/us-signin", identity=PHONE, passcode=code_in(text_to(PHONE)))
    if wire.language == "json":
        assert answer.json["tf_setup_methods"] == []
        assert wire.post("/tf-select", which="sms").codes == ["invalid_choice"]
    else:
        assert "Start over with another sign-in method" in wire.get("/tf-select").text
    assert wire.signed_in_as() is None


# --- choosing, and text messages ----------------------------------------------------------------


@pytest.fixture
def cleo(people):
    """Someone with two second factors."""
    return people.open(email="cleo@example.com", phone=PHONE, methods=["email", "sms", "authenticator"],
                       second="sms,authenticator")  # fmt: skip


def test_user_with_several_second_factors_selects_one(wire, cleo, code_for, text_to, rows):
    from app.sessions.models import AuthSession

    answer = wire.post("/us-signin", identity=cleo.email, passcode=code_for(cleo.email, by=wire))
    assert answer.location == ("/tf-select" if wire.language == "form" else None)
    if wire.language == "json":
        assert (answer.json["tf_select"], answer.json["tf_setup_methods"]) == (True, ["authenticator", "sms"])
    wire.get("/tf-select")
    taken(wire.post("/tf-validate", code=cleo.app_code()), False)
    wire.get("/tf-select")
    assert wire.post("/tf-select", which="sms").ok
    wire.get("/tf-validate")
    assert wire.post("/tf-validate", code=code_in(text_to(PHONE))).ok
    assert [row.amr for row in rows(AuthSession)] == ["email,sms"]


def test_second_factor_selection_can_be_changed(wire, cleo, code_for):
    wire.post("/us-signin", identity=cleo.email, passcode=code_for(cleo.email, by=wire))
    wire.get("/tf-select")
    for which in ("sms", "authenticator"):
        assert wire.post("/tf-select", which=which).ok
        wire.get("/tf-select")
    assert wire.post("/tf-validate", code=cleo.app_code()).ok


@pytest.mark.parametrize("which", ["email", "password", "webauthn", "nonsense"])
def test_unavailable_second_factor_cannot_be_selected(wire, cleo, code_for, which):
    wire.post("/us-signin", identity=cleo.email, passcode=code_for(cleo.email, by=wire))
    wire.get("/tf-select")
    assert wire.post("/tf-select", which=which).codes == ["invalid_choice"]


@pytest.fixture
def dan(people):
    """Someone whose phone is the second factor."""
    return people.open(email="dan@example.com", phone=PHONE, second="sms")


def test_sole_sms_second_factor_is_sent_immediately(wire, dan, code_for, text_to):
    wire.post("/us-signin", identity=dan.email, passcode=code_for(dan.email, by=wire))
    page = wire.get("/tf-validate")
    assert "0000" in page.text or wire.language == "json"
    assert PHONE not in page.text
    assert wire.post("/tf-validate", code=code_in(text_to(PHONE))).ok
    assert wire.signed_in_as() == dan.email


def test_sms_second_factor_resend_repeats_the_same_code(wire, dan, code_for, text_to, clock):
    wire.post("/us-signin", identity=dan.email, passcode=code_for(dan.email, by=wire))
    first = code_in(text_to(PHONE))
    clock.shift(61)
    wire.get("/tf-validate")
    wire.post("/tf-select", which="sms")
    assert code_in(text_to(PHONE)) == first


def test_sms_sign_in_code_is_rejected_as_second_factor(wire, dan, code_for, text_to):
    other = wire.elsewhere()
    other.post("/us-signin/send-code", identity=PHONE, chosen_method="sms")
    first = code_in(text_to(PHONE))
    wire.post("/us-signin", identity=dan.email, passcode=code_for(dan.email, by=wire))
    wire.get("/tf-validate")
    taken(wire.post("/tf-validate", code=first), False)


def test_sms_second_factor_code_of_another_sign_in_is_rejected(wire, dan, code_for, text_to):
    other = wire.elsewhere()
    other.post("/us-signin", identity=dan.email, passcode=code_for(dan.email, by=other))
    theirs = code_in(text_to(PHONE))
    wire.post("/us-signin", identity=dan.email, passcode=code_for(dan.email, by=wire))
    wire.get("/tf-validate")
    taken(wire.post("/tf-validate", code=theirs), False)
    assert wire.post("/tf-validate", code=code_in(text_to(PHONE))).ok


def test_api_client_without_cookies_completes_an_sms_second_factor(program, dan, mail_to, text_to):
    sent = program.post("/us-signin/send-code", identity=dan.email, chosen_method="email").json
    fields = {"identity": dan.email, "passcode": code_in(mail_to(dan.email)), "challenge": sent["challenge"]}
    told = program.post("/us-signin", **fields).json
    assert told["tf_method"] == "sms"
    done = program.post("/tf-validate?include_auth_token", code=code_in(text_to(PHONE)), pending=told["pending"])
    program.token = done.json["user"]["authentication_token"]
    assert program.signed_in_as() == dan.email


# --- ended from elsewhere -----------------------------------------------------------------------


@pytest.mark.both_databases
@pytest.mark.settings(limits=False)
def test_concurrent_resend_does_not_block_the_sign_in(program, dan, mail_to):
    send = {"identity": dan.email, "chosen_method": "email"}
    with ThreadPoolExecutor(2) as pool:
        for _ in range(4):
            named = {"challenge": program.post("/us-signin/send-code", **send).json["challenge"]}
            typed = {"identity": dan.email, "passcode": code_in(mail_to(dan.email))} | named
            again = pool.submit(program.post, "/us-signin/send-code", **send | named)
            assert pool.submit(program.post, "/us-signin", **typed).result().json["tf_required"]
            assert again.result().ok


def test_not_me_report_ends_the_pending_sign_in(wire, bob, code_for, smtp):
    wire.post("/us-signin", identity=bob.email, passcode=code_for(bob.email, by=wire))
    wire.get("/tf-validate")
    denial = denial_in(smtp.to(bob.email)[-1]).removeprefix("http://localhost")
    other = wire.elsewhere()
    other.get(denial)
    assert other.post(denial, sure=True).ok
    taken(wire.post("/tf-validate", code=bob.app_code()), False)
    assert wire.signed_in_as() is None


def test_account_disabled_during_the_second_step_cannot_sign_in(app, wire, bob, code_for):
    wire.post("/us-signin", identity=bob.email, passcode=code_for(bob.email, by=wire))
    wire.get("/tf-validate")
    assert app.test_cli_runner().invoke(args=["users", "disable", bob.email]).exit_code == 0
    taken(wire.post("/tf-validate", code=bob.app_code()), False)
    assert Wire(app, "json").post("/us-signin", identity=bob.email, passcode=bob.app_code()).status == 400


def test_new_sign_in_ends_the_previous_pending_sign_in(json_wire, bob, code_for, rows):
    from app.sessions.models import PendingSignIn

    for _ in range(2):
        json_wire.post("/us-signin", identity=bob.email, passcode=code_for(bob.email, by=json_wire))
    assert sorted(row.ended_at is None for row in rows(PendingSignIn)) == [False, True]


# --- it gives access to nothing else ------------------------------------------------------------

KEPT = {"/oauth/authorize", "/oauth/logout"}
"""What an app has a browser post is stored and looked at with the next request; nobody is looked up."""

OWN = {"/tf-validate", "/tf-select", "/tf-setup", "/mf-recovery", "/tf-rescue", "/logout", "/us-signin", "/login"}
"""What looks at a sign-in under way, or drops it."""


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pending_sign_in_grants_no_access_beyond_the_second_step(app, language, bob, code_for, method):
    half, nobody = Wire(app, language), Wire(app, language)
    first_step(half, bob, code_for)
    token = half.cookies[PENDING]
    for rule in app.url_map.iter_rules():
        kept = method == "POST" and rule.rule in KEPT
        if method not in rule.methods or rule.rule in OWN or rule.endpoint == "static" or kept:
            continue
        path = re.sub(r"<[^>]+>", "a" * 32, rule.rule)
        answers = []
        for wire in (half, nobody):
            wire.client.set_cookie(PENDING, token) if wire is half else None
            answers.append(wire.get(path) if method == "GET" else wire.post(path))
        assert [each.status for each in answers] == [answers[1].status] * 2, path
        assert answers[0].location == answers[1].location, path
        assert bob.email not in answers[0].text, path


# --- counted ------------------------------------------------------------------------------------


def test_first_and_second_factor_failures_are_limited_separately(wire, bob, code_for):
    first_step(wire, bob, code_for)
    for _ in range(2):
        for _ in range(5):
            wire.post("/tf-validate", code="000000")
        wire.get("/us-signin")
        begin(wire, bob, code_for)
        wire.get("/tf-validate")
    for _ in range(2):
        wire.post("/tf-validate", code="000000")
    taken(wire.post("/tf-validate", code=bob.app_code()), False)
    assert first_step(wire.elsewhere(), bob, code_for).ok, "a first proof is still looked at"


@pytest.mark.settings(failures_in_a_row=7, failures_per_address=100)
def test_totp_app_is_locked_after_consecutive_failures_until_sms_succeeds(wire, cleo, code_for, text_to, clock, rows):
    from app.enrollments.models import Enrollment

    def step(browser, which, code) -> bool:
        browser.post("/us-signin", identity=cleo.email, passcode=code_for(cleo.email, by=browser))
        browser.get("/tf-select")
        browser.post("/tf-select", which=which)
        browser.get("/tf-validate")
        return browser.post("/tf-validate", code=code() if callable(code) else code).ok and bool(browser.signed_in_as())

    for _ in range(7):
        clock.shift(4000)
        assert not step(wire.elsewhere(), "authenticator", "000000")
    clock.shift(90000)
    assert not step(wire, "authenticator", cleo.app_code), "it has stopped"
    clock.shift(90000)
    assert step(wire.elsewhere(), "sms", lambda: code_in(text_to(PHONE)))
    assert [row.misses for row in rows(Enrollment, method="authenticator")] == [0]
    clock.shift(90000)
    assert step(wire.elsewhere(), "authenticator", cleo.app_code)
