"""Responses are the same for everyone: they don't reveal who has an account, or what it has."""

from __future__ import annotations

import re

import pytest

from app.recovery.models import Recovery


@pytest.fixture
def people_of_all_kinds(people, bob) -> list[str]:
    """Someone with an account, and people who can't recover one."""
    people.open(email="off@example.com", disabled=True)
    people.open(email="new@example.com", confirmed=False)
    people.open(phone="+16502530009")
    return [
        bob.email,
        "off@example.com",
        "new@example.com",
        "+16502530009",
        "+16502530008",
        "nobody@example.com",
        "nobody",
    ]


def masked(answer, typed: str) -> str:
    """Return an answer without what is random in it."""
    text = answer.text.replace(typed, "TYPED")
    text = re.sub(r"\+1 650-253-00\d\d", "TYPED", text)  # pages group the digits of every number
    text = re.sub(r'value="[^"]{20,}"|nonce="[^"]+"|"(challenge|csrf_token|tag)":"[^"]+"', "", text)
    text = re.sub(r'("(expires_in|resend_after)":)[0-9]+', r"\1", text)  # seconds pass between two requests
    return re.sub(r'[A-Z0-9]{8}|<b class="tag">....</b>|[0-9a-f]{32}', "", text)


def test_recover_response_and_cost_do_not_reveal_whether_an_account_exists(wire, people_of_all_kinds, statements):
    answers, costs = set(), set()
    for identity in people_of_all_kinds:
        browser = wire.elsewhere()
        browser.fetch_csrf()
        with statements() as seen:
            answer = browser.post("/recover", identity=identity)
        answers.add((answer.status, masked(answer, identity), tuple(sorted(browser.cookies))))
        costs.add(len(seen))
    assert len(answers) == 1
    assert len(costs) == 1


def test_wrong_code_response_and_cost_do_not_reveal_whether_an_account_exists(wire, people_of_all_kinds, statements):
    answers, costs = set(), set()
    for identity in people_of_all_kinds:
        browser = wire.elsewhere()
        browser.post("/recover", identity=identity)
        with statements() as seen:
            answer = browser.post("/recover/prove", identity=identity, passcode="00000000")
        answers.add((answer.status, masked(answer, identity), tuple(answer.codes)))
        costs.add(len(seen))
    assert len(answers) == 1
    assert {answer[0] for answer in answers} == {400}
    assert len(costs) == 1


def test_only_recoverable_accounts_are_sent_a_code(json_wire, people_of_all_kinds, deliver, smtp, rows):
    for identity in people_of_all_kinds:
        json_wire.elsewhere().post("/recover", identity=identity)
    deliver()
    assert [mail.to for mail in smtp.mails] == [["bob@example.com"]]
    assert rows(Recovery) == []


@pytest.mark.one_database
def test_code_sent_to_another_user_is_rejected(json_wire, bob, people, mail_to, rows):
    from tests.sinks import code_in

    people.open(email="eve@example.com")
    json_wire.post("/recover", identity="eve@example.com")
    json_wire.post("/recover", identity=bob.email)
    hers = code_in(mail_to("eve@example.com"))
    assert json_wire.post("/recover/prove", identity=bob.email, passcode=hers).codes == ["generic_authn_failed"]


@pytest.mark.one_database
def test_code_works_only_in_the_requesting_browser(json_wire, bob, mail_to):
    from tests.sinks import code_in

    json_wire.post("/recover", identity=bob.email)
    code = code_in(mail_to(bob.email))
    assert json_wire.elsewhere().post("/recover/prove", identity=bob.email, passcode=code).status == 400
    assert json_wire.post("/recover/prove", identity=bob.email, passcode=code).ok


@pytest.mark.one_database
def test_api_client_without_cookies_recovers_with_its_challenge(program, bob, mail_to):
    from tests.sinks import code_in

    challenge = program.post("/recover", identity=bob.email).json["challenge"]
    code = code_in(mail_to(bob.email))
    answer = program.post("/recover/prove", identity=bob.email, passcode=code, challenge=challenge)
    assert answer.json["state"] == "start"
    assert program.post("/recover/start", proof=answer.json["proof"]).json["state"] == "waiting"


@pytest.mark.one_database
@pytest.mark.settings(starts_per_address=3)
def test_recovery_requests_are_rate_limited_per_ip_address(json_wire):
    asked = [json_wire.post("/recover", identity=f"a{number}@example.com").status for number in range(4)]
    assert asked == [200, 200, 200, 429]
