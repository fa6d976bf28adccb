"""The second step: a sign-in waits for it, and only a correct code creates a session."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.second import PENDING, begin, begin_setup, first_step, on, prove_setup, taken
from tests.signed_in import sign_in
from tests.wire import Wire


def test_session_is_created_only_after_the_second_factor(wire, bob, code_for, rows):
    from app.sessions.models import AuthSession

    answer = first_step(wire, bob, code_for)
    assert on(answer) == "authenticator"
    assert rows(AuthSession) == []
    done = wire.post("/tf-validate", code=bob.app_code())
    assert done.ok
    assert wire.signed_in_as() == bob.email
    assert [session.amr for session in rows(AuthSession)] == ["email,authenticator"]


@pytest.mark.one_database
def test_json_client_sees_the_pending_second_factor(json_wire, bob, code_for):
    told = first_step(json_wire, bob, code_for).json
    assert told.pop("csrf_token")
    assert told == {
        "tf_required": True,
        "tf_state": "ready",
        "tf_method": "authenticator",
        "tf_primary_method": "authenticator",
    }
    page = json_wire.get("/tf-validate").json
    due = {"tf_required", "tf_state", "tf_method", "tf_primary_method"}
    assert set(page) == {"csrf_token", "recovery_options", "user"} | due
    done = json_wire.post("/tf-validate?include_auth_token", code=bob.app_code()).json
    assert set(done) == {"csrf_token", "user"}
    assert set(done["user"]) == {"id", "authentication_token"}


@pytest.mark.one_database
def test_browser_is_redirected_to_the_second_step_and_then_to_next(browser_wire, bob, code_for):
    code = code_for(bob.email, by=browser_wire)
    answer = browser_wire.post("/us-signin", identity=bob.email, passcode=code, next="/sessions")
    assert (answer.status, answer.location) == (302, "/tf-validate?next=%2Fsessions")
    page = browser_wire.follow(answer)
    assert page.page.heading == "One more step"
    assert page.page.attributes("code")["autocomplete"] == "one-time-code"
    done = browser_wire.post("/tf-validate", code=bob.app_code())
    assert (done.status, done.location) == (302, "/sessions")
    assert PENDING not in browser_wire.cookies


def test_wrong_code_is_rejected_and_counted(wire, bob, code_for, rows):
    from app.sessions.models import PendingSignIn

    first_step(wire, bob, code_for)
    answer = wire.post("/tf-validate", code="000000")
    assert (answer.status, answer.codes) == (400, ["two_factor_invalid_token"])
    assert [row.tries for row in rows(PendingSignIn)] == [1]
    assert wire.post("/tf-validate", code=bob.app_code()).ok


def test_fifth_wrong_code_ends_the_pending_sign_in(wire, bob, code_for):
    first_step(wire, bob, code_for)
    for _ in range(5):
        wire.post("/tf-validate", code="000000")
    answer = wire.post("/tf-validate", code=bob.app_code())
    assert answer.codes == (["two_factor_permission_denied"] if wire.language == "json" else [])
    assert wire.signed_in_as() is None


def test_pending_sign_in_expires_after_ten_minutes(wire, bob, code_for, clock):
    first_step(wire, bob, code_for)
    clock.shift(601)
    taken(wire.post("/tf-validate", code=bob.app_code()), False)
    assert wire.signed_in_as() is None


def test_pending_sign_in_can_be_completed_just_before_expiry(wire, bob, code_for, clock):
    first_step(wire, bob, code_for)
    clock.shift(598)
    assert wire.post("/tf-validate", code=bob.app_code()).ok


def test_totp_code_cannot_be_reused_in_another_sign_in(wire, bob, code_for):
    first_step(wire, bob, code_for)
    code = bob.app_code()
    assert wire.post("/tf-validate", code=code).ok
    other = wire.elsewhere()
    begin(other, bob, code_for)
    taken(other.post("/tf-validate", code=code), False)


def test_code_of_another_users_totp_app_is_rejected(wire, bob, people, code_for):
    eve = people.open(email="eve@example.com", methods=["email", "authenticator"], second="authenticator")
    first_step(wire, bob, code_for)
    taken(wire.post("/tf-validate", code=eve.app_code()), False)
    assert wire.signed_in_as() is None


def test_first_factor_code_is_rejected_as_second_factor(wire, bob, code_for):
    code = code_for(bob.email)
    wire.post("/us-signin", identity=bob.email, passcode=code)
    wire.get("/tf-validate")
    taken(wire.post("/tf-validate", code=code), False)
    assert wire.signed_in_as() is None


def test_second_step_requires_a_pending_sign_in(wire, bob):
    for answer in (wire.get("/tf-validate"), wire.get("/tf-select"), wire.get("/tf-setup")):
        taken(answer, False)
    taken(wire.post("/tf-validate", code=bob.app_code()), False)


def test_opening_the_sign_in_page_discards_the_pending_sign_in(wire, bob, code_for):
    first_step(wire, bob, code_for)
    wire.get("/us-signin")
    assert PENDING not in wire.cookies
    taken(wire.post("/tf-validate", code=bob.app_code()), False)


@pytest.mark.parametrize("path", ["/us-signin", "/wan-signin"])
@pytest.mark.parametrize("headers", [None, {"Sec-Purpose": "prefetch"}])
def test_prefetch_or_head_of_a_sign_in_page_keeps_the_pending_sign_in(wire, bob, code_for, headers, path):
    first_step(wire, bob, code_for)
    wire.send("GET" if headers else "HEAD", path, headers=headers)
    assert PENDING in wire.cookies


def test_logout_ends_the_pending_sign_in(wire, bob, code_for, rows):
    from app.sessions.models import PendingSignIn

    first_step(wire, bob, code_for)
    wire.post("/logout")
    assert PENDING not in wire.cookies
    assert all(row.ended_at for row in rows(PendingSignIn))


def test_opening_the_second_step_page_keeps_the_session(wire, people, sign_in):
    ada = people.open(email="ada@example.com")
    sign_in(ada.email)
    taken(wire.get("/tf-validate"), False)
    assert wire.signed_in_as() == ada.email


@pytest.mark.one_database
def test_api_client_completes_the_second_step_with_pending(program, bob, mail_to):
    from tests.sinks import code_in

    sent = program.post("/us-signin/send-code", identity=bob.email, chosen_method="email").json
    fields = {"identity": bob.email, "passcode": code_in(mail_to(bob.email)), "challenge": sent["challenge"]}
    told = program.post("/us-signin", **fields).json
    assert program.post("/tf-validate", code=bob.app_code()).codes == ["two_factor_permission_denied"]
    done = program.post("/tf-validate?include_auth_token", code=int(bob.app_code()), pending=told["pending"])
    program.token = done.json["user"]["authentication_token"]
    assert program.signed_in_as() == bob.email


def test_disabled_second_factor_setting_lets_one_factor_sign_in(make_app, bob, code_for):
    app = make_app(second_factor="off")
    wire = Wire(app, "json")
    wire.post("/us-signin", identity=bob.email, passcode=bob.app_code())
    assert wire.signed_in_as() == bob.email
    mailed = wire.elsewhere()
    mailed.post("/us-signin", identity=bob.email, passcode=code_for(bob.email, by=mailed))
    assert mailed.signed_in_as() == bob.email


def test_second_factor_only_app_cannot_sign_in_when_the_setting_is_off(make_app, json_wire, people, clock):
    eve = people.open(email="eve@example.com")
    begun = begin_setup(sign_in(json_wire, eve), setup="authenticator")
    eve = replace(eve, authenticator=begun.json["tf_authr_b32key"])
    assert prove_setup(json_wire, begun, eve.app_code()).ok
    clock.shift(60)
    wire = Wire(make_app(second_factor="off"), "json")
    assert wire.post("/us-signin", identity=eve.email, passcode=eve.app_code()).status == 400
    assert wire.signed_in_as() is None


def test_totp_sign_in_skips_the_second_step_of_an_sms_second_factor(wire, people):
    """The account asks for two, but not after an app (``LATCHKEY_SECOND_FACTOR_FOR``)."""
    methods = ["email", "sms", "authenticator"]
    eve = people.open(email="eve@example.com", phone="+16502530000", methods=methods, second="sms")
    assert wire.post("/us-signin", identity=eve.email, passcode=eve.app_code()).ok
    assert wire.signed_in_as() == eve.email
    assert PENDING not in wire.cookies


def test_totp_app_used_as_second_factor_cannot_sign_in_alone(wire, bob):
    answer = wire.post("/us-signin", identity=bob.email, passcode=bob.app_code())
    assert (answer.status, answer.codes) == (400, ["generic_authn_failed"])
    assert wire.signed_in_as() is None
    assert PENDING not in wire.cookies


@pytest.mark.both_databases
def test_concurrent_submissions_of_one_totp_code_create_one_session(app, json_wire, bob, code_for, rows):
    from app.sessions.models import AuthSession

    first_step(json_wire, bob, code_for)
    clients = [Wire(app, "json") for _ in range(6)]
    for client in clients:
        for name, value in json_wire.cookies.items():
            client.client.set_cookie(name, value)
        client._csrf = json_wire._csrf
    code = bob.app_code()
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda client: client.post("/tf-validate", code=code), clients))
    assert sum(answer.ok for answer in answers) == 1
    assert len(rows(AuthSession)) == 1


@pytest.mark.both_databases
def test_concurrent_wrong_codes_are_limited_to_five_attempts(app, json_wire, bob, code_for, rows):
    from app.audit import Event

    first_step(json_wire, bob, code_for)
    clients = [Wire(app, "json") for _ in range(8)]
    for client in clients:
        for name, value in json_wire.cookies.items():
            client.client.set_cookie(name, value)
        client._csrf = json_wire._csrf
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda client: client.post("/tf-validate", code="000000"), clients))
    assert len(rows(Event, name="second_step.failed")) == 5
    taken(json_wire.post("/tf-validate", code=bob.app_code()), False)


def test_expired_pending_sign_in_redirects_to_login_and_keeps_next(browser_wire, bob, code_for, clock):
    first = browser_wire.post(
        "/us-signin", identity=bob.email, passcode=code_for(bob.email, by=browser_wire), next="/sessions"
    )
    assert first.location == "/tf-validate?next=%2Fsessions"
    clock.shift(601)
    assert browser_wire.get(first.location).location == "/login?next=%2Fsessions"
    late = browser_wire.post("/tf-validate", code=bob.app_code(), next="/sessions")
    assert late.location == "/login?next=%2Fsessions"
    assert browser_wire.get("/tf-select?next=//evil.example").location == "/login"
    assert browser_wire.get("/tf-setup?next=/sessions").location == "/login?next=%2Fsessions"
    assert browser_wire.post("/mf-recovery", code="x" * 16, next="/sessions").location == "/login?next=%2Fsessions"
