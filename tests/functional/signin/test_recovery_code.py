"""/mf-recovery and /tf-rescue: a recovery code replaces the second step; nothing weaker does."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.audit import Event
from app.authenticators.models import RecoveryCode
from app.sessions.models import AuthSession, PendingSignIn
from tests.second import PENDING, begin, first_step
from tests.signed_in import sign_in
from tests.wire import Program, Wire

MF, RESCUE = "/mf-recovery", "/tf-rescue"
WRONG = "ZZ00-0000-0000-0000"


@pytest.fixture
def codes(people, bob) -> list[str]:
    """Bob's recovery codes."""
    return people.give_codes(bob)


@pytest.fixture
def waiting(wire, bob, codes, code_for) -> Wire:
    """Bob's browser, after the first step."""
    first_step(wire, bob, code_for)
    return wire


def test_recovery_code_completes_the_second_step(waiting, bob, codes, rows, mail_to):
    answer = waiting.post(MF, code=codes[0].lower())
    assert answer.ok
    assert waiting.language == "form" or set(answer.json) == {"csrf_token", "user"}
    assert waiting.signed_in_as() == bob.email
    session = rows(AuthSession)[-1]
    assert session.amr == "email,recovery_code"
    assert PENDING not in waiting.cookies
    assert "A recovery code was used. 9 codes are left." in mail_to(bob.email).text
    assert len(rows(Event, name="recovery.code_used")) == 1


def test_recovery_code_works_only_once(waiting, bob, codes, code_for, clock):
    assert waiting.post(MF, code=codes[0]).ok
    waiting.post("/logout")
    clock.shift(31)
    first_step(waiting, bob, code_for)
    answer = waiting.post(MF, code=codes[0])
    assert (answer.status, answer.codes) == (400, ["invalid_recovery_code"])
    assert waiting.post(MF, code=codes[1]).ok


def test_recovery_code_sign_in_redirects_to_next(browser_wire, bob, codes, code_for):
    code = code_for(bob.email, by=browser_wire)
    browser_wire.post("/us-signin", identity=bob.email, passcode=code, next="/sessions")
    page = browser_wire.get("/tf-validate")
    assert MF in page.page.links
    browser_wire.get(MF)
    assert browser_wire.post(MF, code=codes[0]).location == "/sessions"


def test_api_client_uses_a_recovery_code_with_pending_and_gets_no_token(program, bob, codes, mail_to):
    from tests.sinks import code_in

    challenge = program.post("/us-signin/send-code", identity=bob.email, chosen_method="email").json["challenge"]
    passcode = code_in(mail_to(bob.email))
    given = program.post("/us-signin", identity=bob.email, passcode=passcode, challenge=challenge).json["pending"]
    answer = program.post(f"{MF}?include_auth_token", code=codes[0], pending=given)
    assert set(answer.json["user"]) == {"id"}, "never a token"


@pytest.mark.one_database
@pytest.mark.parametrize(("method", "path"), [("GET", MF), ("POST", MF), ("GET", RESCUE), ("POST", RESCUE)])
def test_recovery_pages_require_a_pending_sign_in(wire, method, path):
    fields = {"code": WRONG, "help_setup": "help"}
    answer = wire.get(path) if method == "GET" else wire.post(path, **fields)
    if wire.language == "json":
        assert (answer.status, answer.codes) == (400, ["two_factor_permission_denied"])
    else:
        assert (answer.status, answer.location) == (302, "/login")


@pytest.mark.one_database
@pytest.mark.parametrize("path", [MF, RESCUE])
def test_signed_in_user_cannot_open_the_recovery_pages(wire, bob, path):
    answer = sign_in(wire, bob).get(path)
    assert answer.status == (400 if wire.language == "json" else 302)
    assert wire.signed_in_as() == bob.email


def test_fifth_wrong_recovery_code_ends_the_pending_sign_in(waiting, codes):
    answers = [waiting.post(MF, code=WRONG) for _ in range(5)]
    assert [answer.codes for answer in answers[:4]] == [["invalid_recovery_code"]] * 4
    assert waiting.post(MF, code=codes[0]).codes in (["two_factor_permission_denied"], [])
    assert waiting.signed_in_as() is None


def test_recovery_and_second_factor_attempts_share_one_limit(waiting, bob):
    for _ in range(3):
        waiting.post(MF, code=WRONG)
    for _ in range(2):
        waiting.post("/tf-validate", code="000000")
    waiting.post("/tf-validate", code=bob.app_code())
    assert waiting.signed_in_as() is None


@pytest.mark.one_database
@pytest.mark.parametrize("typed", ["", "123456", "hello", "\ud800", "x" * 5000])
def test_malformed_recovery_code_does_not_count_as_an_attempt(json_wire, bob, codes, code_for, rows, typed):
    first_step(json_wire, bob, code_for)
    assert json_wire.post(MF, code=typed).status == 400
    assert [row.tries for row in rows(PendingSignIn)] == [0]


@pytest.mark.both_databases
@pytest.mark.settings(limits=False, pool_size=8)
def test_concurrent_sign_ins_with_one_recovery_code_create_one_session(app, bob, codes, code_for, rows, clock):
    browsers = [Wire(app, "json") for _ in range(6)]
    for browser in browsers:
        first_step(browser, bob, code_for)
        clock.shift(31)
    before, ready = len(rows(AuthSession)), threading.Barrier(len(browsers))

    def use(browser: Wire) -> int:
        ready.wait()
        return browser.post(MF, code=codes[0]).status

    with ThreadPoolExecutor(len(browsers)) as pool:
        assert sorted(pool.map(use, browsers)) == [200] + [400] * 5
    assert len(rows(AuthSession)) == before + 1
    assert len([row for row in rows(RecoveryCode) if row.used_at]) == 1


def test_recovery_code_of_another_user_is_rejected(waiting, app, people):
    eve = sign_in(Wire(app, "json"), people.open(email="eve@example.com"))
    hers = eve.post("/mf-recovery-codes").json["recovery_codes"]
    assert waiting.post(MF, code=hers[0]).status == 400
    assert waiting.signed_in_as() is None


@pytest.mark.one_database
def test_recovery_codes_are_offered_only_to_users_who_have_them(json_wire, bob, code_for):
    first_step(json_wire, bob, code_for)
    assert json_wire.get("/tf-validate").json["recovery_options"] == {}
    assert json_wire.get(RESCUE).json["recovery_options"] == {}


@pytest.mark.one_database
def test_rescue_redirects_to_the_recovery_code_page(waiting):
    options = waiting.get(RESCUE)
    assert waiting.language == "form" or options.json["recovery_options"] == {"recovery_code": MF}
    answer = waiting.post(RESCUE, help_setup="recovery_code")
    assert (answer.status, answer.location) == (302, MF)


@pytest.mark.one_database
@pytest.mark.parametrize("which", ["email", "help", "nonsense"])
def test_rescue_rejects_email_and_help_without_a_support_address(waiting, which, deliver):
    deliver()
    answer = waiting.post(RESCUE, help_setup=which)
    assert (answer.status, answer.codes) == (400, ["invalid_choice"])
    assert deliver() == []


@pytest.mark.settings(support_mail="help@latchkey.test")
def test_rescue_help_request_is_idempotent(waiting, bob, mail_to, smtp, rows):
    assert waiting.post(RESCUE, help_setup="help").ok
    assert waiting.post(RESCUE, help_setup="help").ok
    mail = mail_to("help@latchkey.test")
    assert bob.email in mail.text
    assert len(smtp.to("help@latchkey.test")) == 1
    assert [event.user_id for event in rows(Event, name="second_step.help_asked")] == [bob.id]
    assert waiting.signed_in_as() is None


@pytest.mark.one_database
@pytest.mark.settings(second_factor="required")
def test_recovery_code_is_denied_when_second_factor_enrollment_is_pending(json_wire, people, code_for):
    ada = people.open(email="ada@example.com")
    begin(json_wire, ada, code_for)
    assert json_wire.get(MF).codes == ["two_factor_permission_denied"]
    assert json_wire.post(MF, code=WRONG).codes == ["two_factor_permission_denied"]
    assert Program(json_wire.app).get(MF).status == 400


@pytest.mark.both_databases
def test_concurrent_recovery_codes_in_one_sign_in_use_up_only_one(json_wire, bob, codes, code_for, rows):
    """The second one creates no session, so its code isn't used up."""
    first_step(json_wire, bob, code_for)
    ready, windows = threading.Barrier(2), [_window(json_wire) for _ in range(2)]

    def post(window, code):
        ready.wait()
        return window.post(MF, csrf=json_wire._csrf, code=code)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(post, windows, codes))
    assert sorted(answer.status for answer in answers) == [200, 400]
    assert len([row for row in rows(RecoveryCode) if row.used_at]) == 1


def _window(wire: Wire) -> Wire:
    """Return another window of the same browser."""
    window = wire.elsewhere()
    for name, value in wire.cookies.items():
        window.client.set_cookie(name, value)
    return window


@pytest.mark.one_database
@pytest.mark.parametrize("given", [True, False])
def test_rescue_page_links_to_account_recovery(browser_wire, people, bob, code_for, given):
    if given:
        people.give_codes(bob)
    first_step(browser_wire, bob, code_for)
    assert 'href="/recover"' in browser_wire.get(RESCUE).text


@pytest.mark.one_database
@pytest.mark.settings(recovery_starts=0)
def test_rescue_page_has_no_recovery_link_when_account_recovery_is_disabled(browser_wire, bob, code_for):
    first_step(browser_wire, bob, code_for)
    assert 'href="/recover"' not in browser_wire.get(RESCUE).text
