"""How many statements a request may execute (docs: performance), the same for everyone."""

from __future__ import annotations

import re
from functools import partial

import pytest

from tests.functional.signin.conftest import wrong

pytestmark = pytest.mark.every_pair


@pytest.fixture
def cost(statements):
    """Runs something and returns the statements it took, without their values."""

    def measure(work) -> list[str]:
        with statements() as seen:
            work()
        return [re.sub(r"\(method_\w+\)|\(.*?\)|\s+", " ", statement).strip()[:60] for statement in seen]

    return measure


def test_send_code_takes_at_most_six_statements(wire, ada, cost):
    wire.fetch_csrf()
    assert len(cost(lambda: wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email"))) <= 6


def test_resend_takes_at_most_six_statements(wire, ada, cost, code_for, clock):
    code_for(ada.email)
    clock.shift(31)
    assert len(cost(lambda: wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email"))) <= 6


def test_sign_in_takes_at_most_seven_statements(wire, ada, cost, sign_in, code_for):
    sign_in(ada.email, by=wire.elsewhere())
    code = code_for(ada.email)
    wire.fetch_csrf()
    assert len(cost(lambda: wire.post("/us-signin", identity=ada.email, passcode=code))) <= 7


def test_wrong_code_takes_at_most_five_statements(wire, ada, cost, code_for):
    code = code_for(ada.email)
    wire.fetch_csrf()
    assert len(cost(lambda: wire.post("/us-signin", identity=ada.email, passcode=wrong(code)))) <= 5


def test_link_sign_in_takes_at_most_six_statements(wire, ada, cost, link_for):
    link = link_for(ada.email)
    assert len(cost(lambda: wire.get(link))) <= 6


@pytest.mark.settings(redirect_behavior="spa")
def test_spa_link_sign_in_takes_at_most_six_statements(wire, ada, cost, link_for):
    link = link_for(ada.email)
    assert len(cost(lambda: wire.get(link))) <= 6


@pytest.mark.parametrize("token", ["nonsense", "a.b.c.d.e", ""])
def test_invalid_link_takes_no_statements(wire, cost, token):
    wire.fetch_csrf()
    assert cost(lambda: wire.get(f"/us-verify-link?token={token}")) == []


def test_session_check_takes_one_statement(json_wire, ada, cost, sign_in):
    sign_in(ada.email, by=json_wire)
    assert len(cost(lambda: json_wire.get("/us-signin"))) == 1


def test_access_token_check_takes_one_statement(program, json_wire, ada, cost, code_for):
    code = code_for(ada.email, by=json_wire)
    answer = json_wire.post("/us-signin?include_auth_token", identity=ada.email, passcode=code)
    program.token = answer.json["user"]["authentication_token"]
    assert len(cost(lambda: program.get("/us-signin"))) == 1


def test_sign_in_page_without_a_session_takes_no_statements(wire, cost):
    assert cost(lambda: wire.get("/us-signin")) == []


def test_known_and_unknown_identities_take_the_same_statements(wire, ada, people, cost):
    people.open(email="off@example.com", disabled=True)
    people.open(email="app@example.com", methods=["authenticator"])
    people.open(email="new@example.com", confirmed=False)
    asked, tried = set(), set()
    for email in (ada.email, "nobody@example.com", "off@example.com", "app@example.com", "new@example.com"):
        browser = wire.elsewhere()
        browser.fetch_csrf()
        send = partial(browser.post, "/us-signin/send-code", identity=email, chosen_method="email")
        asked.add(tuple(cost(send)))
        tried.add(tuple(cost(partial(browser.post, "/us-signin", identity=email, passcode="00000000"))))
    assert len(asked) == len(tried) == 1


def test_two_step_sign_in_takes_at_most_eight_and_twelve_statements(wire, bob, cost, code_for):
    code = code_for(bob.email)
    wire.fetch_csrf()
    assert len(cost(lambda: wire.post("/us-signin", identity=bob.email, passcode=code))) <= 8
    wire.get("/tf-validate")
    assert len(cost(lambda: wire.post("/tf-validate", code=bob.app_code()))) <= 12
