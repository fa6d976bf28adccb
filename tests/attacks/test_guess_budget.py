"""An account allows ten wrong codes an hour and 25 a day, whatever is requested again, from anywhere."""

from __future__ import annotations

import itertools

import pytest

from app.audit import Event
from app.throttling.models import FailureCounter
from tests.databases import KEY
from tests.faults.accounts import open_one
from tests.faults.visitors import Visitor, answers_at_once
from tests.functional.signin.conftest import wrong
from tests.sinks import code_in, link_in

EASY = {"failures_per_address": 10**6, "starts_per_address": 10**6}
pytestmark = [pytest.mark.settings(**EASY), pytest.mark.both_databases]

SIGN_IN = "/us-signin"
HOUR, DAY = 3600, 24 * 3600


@pytest.fixture
def ada(people):
    """Someone with every sign-in method and every kind of identity."""
    described = {"email": "ada@example.com", "phone": "+447400123456", "username": "ada"}
    return people.open(**described, methods=["email", "sms", "authenticator"])


@pytest.fixture
def guess(json_wire):
    """Guesses codes of an account, each time from another browser and IP address; returns the last response."""
    numbers = itertools.count(1)

    def once(identity, times: int = 1, passcode: str | None = None):
        for _ in range(times):
            number = next(numbers)
            browser = json_wire.elsewhere(address=f"198.51.{number // 250}.{number % 250}")
            answer = browser.post(SIGN_IN, identity=identity, passcode=passcode or "00000000")
        return answer

    return once


@pytest.fixture
def looked_at(rows):
    """Returns how many guesses were compared, and how many were not."""

    def count() -> tuple[int, int]:
        failed = [event.facts["reason"] for event in rows(Event, name="sign_in.failed")]
        return len(failed) - failed.count("budget_spent"), failed.count("budget_spent")

    return count


def enters(wire, ada) -> bool:
    """Return whether a correct app code signs her in from a new browser."""
    browser = wire.elsewhere()
    answer = browser.post(SIGN_IN, identity=ada.email, passcode=ada.app_code())
    assert answer.ok or (answer.status, answer.codes) == (400, ["generic_authn_failed"])
    return answer.ok


def test_account_is_locked_for_an_hour_after_ten_failures(wire, ada, guess, clock, looked_at):
    guess(ada.email, 14)
    assert looked_at() == (10, 4)
    assert not enters(wire, ada)
    clock.shift(HOUR - 5)
    assert not enters(wire, ada)
    clock.shift(10)
    assert enters(wire, ada)


def test_locked_account_responds_like_a_wrong_code(wire, ada, guess):
    before = wire.elsewhere().post(SIGN_IN, identity=ada.email, passcode="00000000")
    guess(ada.email, 9)
    after = wire.elsewhere().post(SIGN_IN, identity=ada.email, passcode="00000000")
    assert (after.status, after.errors, after.codes) == (before.status, before.errors, before.codes)


@pytest.mark.settings(generic_responses=False, **EASY)
def test_locked_account_responds_like_a_wrong_code_with_explicit_responses(wire, ada, guess):
    guess(ada.email, 10)
    answer = wire.post(SIGN_IN, identity=ada.email, passcode=ada.app_code())
    assert (answer.status, answer.codes) == (400, ["invalid_password_code"])


def test_failures_of_all_methods_and_identities_share_one_limit(json_wire, ada, guess, mail_to, text_to, looked_at):
    for method in ("email", "sms"):
        assert json_wire.post(f"{SIGN_IN}/send-code", identity=ada.username, chosen_method=method).ok
    mailed, texted = code_in(mail_to(ada.email)), code_in(text_to(ada.phone))
    for passcode in (wrong(mailed), wrong(texted)) * 2:
        json_wire.post(SIGN_IN, identity=ada.username, passcode=passcode)
    guess(ada.phone, 3)
    guess("ADA@example.com", 3, passcode="000000")
    assert looked_at() == (10, 0)
    for passcode in (mailed, texted, ada.app_code()):
        assert not json_wire.post(SIGN_IN, identity=ada.email, passcode=passcode).ok


def test_new_challenge_does_not_reset_the_failure_limit(json_wire, ada, mail_to, looked_at):
    for _ in range(4):
        browser = json_wire.elsewhere()
        browser.post(f"{SIGN_IN}/send-code", identity=ada.email, chosen_method="email")
        code = code_in(mail_to(ada.email))
        for _ in range(5):
            assert not browser.post(SIGN_IN, identity=ada.email, passcode=wrong(code)).ok
    assert looked_at() == (10, 10)


def test_failure_limit_resets_an_hour_after_the_last_counted_failure(ada, guess, clock, looked_at):
    guess(ada.email, 4)
    clock.shift(1800)
    guess(ada.email, 9)
    assert looked_at() == (10, 3)
    clock.shift(1790)
    guess(ada.email, 9)
    clock.shift(1800)
    guess(ada.email, 9)
    assert looked_at() == (10, 21)
    clock.shift(20)
    guess(ada.email, 11)
    assert looked_at() == (20, 22)


def test_account_is_locked_after_twenty_five_failures_a_day(wire, ada, guess, clock, looked_at):
    for _ in range(4):
        guess(ada.email, 10)
        clock.shift(HOUR + 1)
    assert looked_at() == (25, 15)
    assert not enters(wire, ada)
    clock.shift(DAY - 2 * (HOUR + 1) - 60)
    assert not enters(wire, ada)
    clock.shift(61)
    assert enters(wire, ada)


def test_attempts_while_locked_do_not_extend_the_lockout(wire, ada, guess, clock):
    guess(ada.email, 10)
    for _ in range(11):
        clock.shift(300)
        guess(ada.email)
    clock.shift(301)
    assert enters(wire, ada)


def test_successful_sign_in_does_not_reset_failures(wire, ada, guess, clock):
    guess(ada.email, 9)
    assert enters(wire, ada)
    clock.shift(30)
    guess(ada.email, 1)
    assert not enters(wire, ada)


def test_sign_in_to_the_attackers_own_account_does_not_reset_failures(wire, ada, people, guess, looked_at, clock):
    eve = people.open(email="eve@example.com", methods=["authenticator"])
    for _ in range(3):
        guess(ada.email, 9)
        assert wire.elsewhere().post(SIGN_IN, identity=eve.email, passcode=eve.app_code()).ok
        clock.shift(30)
    assert looked_at() == (10, 17)


def test_successful_sign_ins_do_not_count_as_failures(wire, ada, clock):
    for _ in range(30):
        assert enters(wire, ada)
        clock.shift(30)


def test_link_signs_in_to_a_locked_account(wire, ada, guess, mail_to):
    guess(ada.email, 12)
    wire.post(f"{SIGN_IN}/send-code", identity=ada.email, chosen_method="email")
    wire.get(link_in(mail_to(ada.email), "/us-verify-link").removeprefix("http://localhost"))
    assert wire.signed_in_as() == ada.email


def test_known_browser_has_its_own_failure_limit(wire, ada, guess, clock):
    wire.post(SIGN_IN, identity=ada.email, passcode=ada.app_code())
    wire.post("/logout")
    guess(ada.email, 12)
    clock.shift(30)
    for _ in range(9):
        wire.post(SIGN_IN, identity=ada.email, passcode="00000000")
    assert wire.post(SIGN_IN, identity=ada.email, passcode=ada.app_code()).ok
    wire.post("/logout")
    clock.shift(30)
    wire.post(SIGN_IN, identity=ada.email, passcode="00000000")
    assert not wire.post(SIGN_IN, identity=ada.email, passcode=ada.app_code()).ok


def test_revoked_known_browser_has_no_failure_limit_of_its_own(wire, ada, app, guess, clock):
    wire.post(SIGN_IN, identity=ada.email, passcode=ada.app_code())
    wire.post("/logout")
    for word in ("disable", "enable"):
        app.test_cli_runner().invoke(args=["users", word, ada.email])
    guess(ada.email, 10)
    clock.shift(30)
    assert not wire.post(SIGN_IN, identity=ada.email, passcode=ada.app_code()).ok


def test_known_browser_of_another_account_has_no_failure_limit_of_its_own(wire, ada, people, guess):
    eve = people.open(email="eve@example.com", methods=["authenticator"])
    wire.post(SIGN_IN, identity=eve.email, passcode=eve.app_code())
    wire.post("/logout")
    guess(ada.email, 10)
    assert not wire.post(SIGN_IN, identity=ada.email, passcode=ada.app_code()).ok


def test_reauthentication_in_a_session_has_its_own_failure_limit(wire, ada, guess, clock):
    wire.post(SIGN_IN, identity=ada.email, passcode=ada.app_code())
    guess(ada.email, 10)
    clock.shift(30)
    assert wire.post("/us-verify", passcode=ada.app_code()).ok
    for _ in range(10):
        assert wire.post("/us-verify", passcode="000000").codes == ["invalid_password_code"]
    clock.shift(30)
    assert wire.post("/us-verify", passcode=ada.app_code()).codes == ["invalid_password_code"]


def test_successful_reauthentications_do_not_count_as_failures(json_wire, ada, clock):
    json_wire.post(SIGN_IN, identity=ada.email, passcode=ada.app_code())
    for _ in range(12):
        clock.shift(30)
        assert json_wire.post("/us-verify", passcode=ada.app_code()).ok


def test_failed_confirmations_count_towards_the_limit(wire, mail_to, guess):
    wire.post("/register", email="eve@example.com")
    code = code_in(mail_to("eve@example.com"))
    for _ in range(10):
        wire.elsewhere().post("/confirm", email="eve@example.com", passcode=wrong(code))
    assert wire.post("/confirm", email="eve@example.com", passcode=code).codes == ["invalid_password_code"]


@pytest.mark.settings(methods=["email", "authenticator", "password"], **EASY)
def test_failed_passwords_do_not_block_sign_in_by_code(wire, people, guess, clock, looked_at):
    eve = people.open(email="eve@example.com", password="a long enough secret", methods=["password", "authenticator"])
    guess(eve.email, 20, passcode="not the password of anybody")
    assert looked_at() == (10, 10)
    assert not wire.elsewhere().post(SIGN_IN, identity=eve.email, passcode=eve.password).ok
    assert wire.elsewhere().post(SIGN_IN, identity=eve.email, passcode=eve.app_code()).ok


@pytest.mark.settings(failures_in_a_row=12, failures_in_a_row_rest=40 * DAY, **EASY)
def test_consecutive_failures_block_codes_until_a_sign_in_by_link(wire, ada, guess, clock, mail_to):
    guess(ada.email, 10)
    clock.shift(HOUR + 1)
    guess(ada.email, 2)
    clock.shift(30 * DAY)
    assert not enters(wire, ada)
    wire.post(f"{SIGN_IN}/send-code", identity=ada.email, chosen_method="email")
    wire.get(link_in(mail_to(ada.email), "/us-verify-link").removeprefix("http://localhost"))
    assert enters(wire, ada)


@pytest.mark.settings(failures_in_a_row=12, **EASY)
def test_consecutive_failures_block_codes_for_a_day_after_the_last_counted(wire, ada, guess, clock):
    guess(ada.email, 10)
    clock.shift(HOUR + 1)
    guess(ada.email, 2)
    clock.shift(DAY - 60)
    guess(ada.email, 5)
    assert not enters(wire, ada)
    clock.shift(120)
    assert enters(wire, ada)


@pytest.mark.settings(failures_in_a_row=12, failures_in_a_row_rest=40 * DAY, **EASY)
def test_unlock_command_unlocks_a_locked_account(app, wire, ada, guess, clock):
    guess(ada.email, 10)
    clock.shift(HOUR + 1)
    guess(ada.email, 2)
    assert not enters(wire, ada)
    assert "unlocked" in app.test_cli_runner().invoke(args=["users", "unlock", ada.email]).output
    assert enters(wire, ada)


def test_failures_with_timestamps_in_the_future_are_ignored(wire, ada, guess, clock):
    with clock.travel(30 * DAY):
        guess(ada.email, 10)
        assert not enters(wire, ada)
    assert enters(wire, ada)
    guess(ada.email, 10)
    assert not enters(wire, ada)


def test_failed_sign_ins_of_unknown_and_known_users_run_the_same_statements(json_wire, ada, statements):
    seen_of = {}
    for who in (ada.email, "nobody@example.com"):
        seen_of[who] = []
        for number in range(12):
            browser = json_wire.elsewhere(address=f"203.0.113.{number}")
            browser.fetch_csrf()
            with statements() as seen:
                browser.post(SIGN_IN, identity=who, passcode="00000000")
            seen_of[who].append([statement[:60] for statement in seen])
    assert seen_of[ada.email] == seen_of["nobody@example.com"]
    assert max(len(seen) for seen in seen_of[ada.email]) <= 5


def test_exhausting_the_failure_limit_records_one_event_per_window(ada, guess, rows, clock):
    guess(ada.email, 15)
    assert [event.facts for event in rows(Event, name="budget.exhausted")] == [{"budget": "failures"}]
    clock.shift(HOUR + 1)
    guess(ada.email, 15)
    assert len(rows(Event, name="budget.exhausted")) == 2


def test_malformed_codes_do_not_count_as_failures(ada, guess, rows):
    for passcode in ("x", "1", "12345678901", "１２３４５", "一二三四五六", "a password, where there are none"):
        guess(ada.email, 1, passcode=passcode)
    assert rows(FailureCounter) == []


@pytest.mark.parametrize("passcode", ["００００００００", "\u202d0000\u30000000\u202c", "٠٠٠٠٠٠"])
def test_codes_in_unicode_digits_count_as_failures(ada, guess, looked_at, rows, passcode):
    guess(ada.email, 11, passcode=passcode)
    assert looked_at() == (10, 1)
    assert [row.hour_count for row in rows(FailureCounter)] == [10]


@pytest.mark.settings(limits=False)
def test_disabled_limits_count_no_failures(wire, ada, guess, rows):
    guess(ada.email, 30)
    assert enters(wire, ada)
    assert [row.hour_count for row in rows(FailureCounter)] == [0]


@pytest.mark.one_database
def test_guessing_all_day_checks_twenty_five_codes(ada, guess, clock, looked_at, rows):
    for _ in range(288):
        guess(ada.email, 2)
        clock.shift(300)
    assert looked_at()[0] == 25
    failed = rows(Event, name="sign_in.failed")
    times = [event.at.timestamp() for event in failed if event.facts["reason"] != "budget_spent"]
    assert max(sum(0 <= later - first < HOUR for later in times) for first in times) == 10


def test_concurrent_guesses_at_two_servers_cannot_exceed_the_failure_limit(fresh_database, start):
    ada = open_one(fresh_database, email="ada@example.com", methods=["authenticator"])
    easy = {"LATCHKEY_LIMITS": "on", "LATCHKEY_FAILURES_PER_ADDRESS": 10**6, "LATCHKEY_SECRET_KEYS": KEY}
    first = start(fresh_database, workers=1, **easy)
    shared = {name: first.environment[name] for name in ("LATCHKEY_PUBLIC_URL", "LATCHKEY_QUEUE_URL")}
    servers = [first, start(fresh_database, workers=1, **easy, **shared)]
    posts = []
    for number in range(40):
        visitor = Visitor(first.url)
        request = visitor.prepared(SIGN_IN, identity=ada.email, passcode=wrong(ada.app_code()))
        posts.append((("127.0.0.1", servers[number % 2].port), request))
    assert {answer.status for answer in answers_at_once(posts)} == {400}
    reasons = fresh_database.query("SELECT facts FROM event WHERE name = 'sign_in.failed'")
    assert sum("budget_spent" in str(facts) for (facts,) in reasons) == 30
    assert fresh_database.query("SELECT hour_count, day_count, in_a_row FROM standing") == [(10, 10, 10)]
    for server in servers:
        server.stop()
    again = Visitor(servers[1].start().url, host=f"127.0.0.1:{first.port}")
    assert again.sign_in(ada.email, ada.app_code()).status == 400
