"""Messages to an unverified address or number are limited, across all accounts."""

from __future__ import annotations

from threading import Barrier, Thread

import pytest

from app.challenges.models import Challenge, StoredResponse
from app.outbox import Message
from app.throttling.models import SendWindow
from app.users import User
from tests.signed_in import sign_in
from tests.sinks import code_in
from tests.wire import Program

ADD, CHANGE, REGISTER, SEND = "/identities/add", "/change-email", "/register", "/us-signin/send-code"
VICTIM, NUMBER = "victim@example.com", "+16502530000"
HOUR = 3600

pytestmark = [
    pytest.mark.settings(starts_per_address=10**6, failures_per_address=10**6, mail_resend_wait=0),
    pytest.mark.both_databases,
]


@pytest.fixture
def crowd(people, json_wire):
    """Creates that many accounts and signs each in, in a separate browser."""

    def come(count):
        opened = [people.open(email=f"person{number}@example.com") for number in range(count)]
        return [sign_in(json_wire.elsewhere(), person) for person in opened]

    return come


def refused(answer):
    """Return whether a request was rate-limited; then the response says when to retry."""
    assert answer.ok or answer.status == 429, answer.json
    if answer.status == 429:
        assert answer.codes == ["too_many_messages"]
        assert int(answer.headers["Retry-After"]) > 0
    return answer.status == 429


def test_mail_to_an_address_is_limited_across_accounts(crowd, deliver):
    browsers = crowd(4)
    said = [refused(browser.post(ADD, email=VICTIM)) for _ in range(4) for browser in browsers]
    assert said == [False] * 5 + [True] * 11
    assert [mail.to for mail in deliver()].count([VICTIM]) == 5


def test_all_endpoints_share_the_mail_limit_of_an_address(crowd, wire, deliver):
    first, second = crowd(2)
    ways = [(wire.elsewhere(), REGISTER), (first, CHANGE), (second, ADD), (wire.elsewhere(), "/confirm"), (first, ADD)]
    for browser, path in ways:
        assert not refused(browser.post(path, email=VICTIM))
    for browser, path in ways:
        assert browser.post(path, email=VICTIM).status == 429
    assert [mail.to for mail in deliver()].count([VICTIM]) <= 5


@pytest.mark.parametrize("known", [False, True])
def test_retry_after_of_a_limited_address_is_accurate(people, wire, clock, known):
    if known:
        people.open(email=VICTIM)
    for _ in range(5):
        assert not refused(wire.elsewhere().post(REGISTER, email=VICTIM))
    clock.shift(HOUR / 2)
    answer = wire.post(REGISTER, email=VICTIM)
    assert refused(answer)
    wait = int(answer.headers["Retry-After"])
    assert HOUR / 2 - 60 < wait <= HOUR / 2 + 1
    if not answer.json:
        assert "data-wait-left>30 minutes</time>" in answer.text
    clock.shift(wait - 60)
    assert refused(wire.post(REGISTER, email=VICTIM))
    clock.shift(61)
    assert not refused(wire.post(REGISTER, email=VICTIM))


def test_mail_to_an_address_is_also_limited_per_day(json_wire, clock):
    sent = 0
    for _ in range(7):
        sent += sum(not refused(json_wire.elsewhere().post(REGISTER, email=VICTIM)) for _ in range(5))
        clock.shift(HOUR + 1)
    assert sent == 20
    answer = json_wire.post(REGISTER, email=VICTIM)
    assert 16 * HOUR < int(answer.headers["Retry-After"]) < 18 * HOUR


@pytest.mark.parametrize("path", [REGISTER, "/confirm"])
def test_known_and_unknown_addresses_are_rate_limited_identically(people, json_wire, statements, path):
    """Also after strangers have used up the account's limit, which is a separate one."""
    people.open(email=VICTIM)
    seen = {}
    for email in (VICTIM, "nobody@example.com"):
        for _ in range(7):
            json_wire.elsewhere().post(SEND, identity=email, chosen_method="email")
        browser, seen[email] = json_wire.elsewhere(), []
        for _ in range(7):
            with statements() as made:
                answer = browser.post(path, email=email)
            seen[email].append((answer.status, answer.codes, len(made) if path == "/confirm" else None))
    assert seen[VICTIM] == seen["nobody@example.com"]
    assert [status for status, _, _ in seen[VICTIM]] == [200] * 5 + [429] * 2


def test_concurrent_registrations_cannot_exceed_the_mail_limit_of_an_address(app, rows):
    barrier, statuses = Barrier(16), []

    def ask(number):
        program = Program(app, address=f"203.0.113.{number}")
        barrier.wait()
        statuses.append(program.post(REGISTER, email=VICTIM).status)

    threads = [Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 5 + [429] * 11
    assert len(rows(Message)) == 5


def test_owner_can_sign_in_when_strangers_exhausted_the_address_limit(people, json_wire, crowd, mail_to):
    people.open(email=VICTIM)
    for browser in crowd(3):
        for path in (ADD, CHANGE, REGISTER):
            browser.post(path, email=VICTIM)
    mine = json_wire.elsewhere()
    assert mine.post(SEND, identity=VICTIM, chosen_method="email").ok
    assert mine.post("/us-signin", identity=VICTIM, passcode=code_in(mail_to(VICTIM))).ok


def test_rate_limited_registration_stores_nothing(json_wire, rows, clock):
    for _ in range(5):
        json_wire.elsewhere().post(REGISTER, email=VICTIM)
    before = [len(rows(model)) for model in (User, Challenge, Message, StoredResponse)]
    key = {"Idempotency-Key": "a-key-that-is-hard-to-guess-1"}
    mine = json_wire.elsewhere()
    assert refused(mine.post(REGISTER, email=VICTIM, headers=key))
    assert [len(rows(model)) for model in (User, Challenge, Message, StoredResponse)] == before
    clock.shift(HOUR + 1)
    assert mine.post(REGISTER, email=VICTIM, headers=key).ok


def test_sms_setup_of_a_number_is_limited_across_accounts(crowd, deliver):
    said = [refused(browser.post("/us-setup", chosen_method="sms", phone=NUMBER)) for browser in crowd(5)]
    assert said == [False] * 3 + [True] * 2
    assert len(deliver()) == 3


def test_sign_in_mail_to_an_unknown_address_counts_on_delivery(json_wire, deliver):
    for _ in range(4):
        json_wire.elsewhere().post(SEND, identity=VICTIM, chosen_method="email")
    for _ in range(4):
        assert json_wire.elsewhere().post(REGISTER, email=VICTIM).ok
    assert [mail.to for mail in deliver()] == [[VICTIM]] * 5


def test_send_counters_do_not_contain_the_address(json_wire, rows):
    json_wire.post(REGISTER, email=VICTIM)
    names = [row.id for row in rows(SendWindow)]
    assert len(names) == 2
    assert not any("victim" in name or "example" in name for name in names)


@pytest.mark.settings(limits=False)
def test_disabled_limits_reject_no_registration(json_wire):
    assert all(json_wire.elsewhere().post(REGISTER, email=VICTIM).ok for _ in range(8))
