"""What binds a challenge to its requester: a valid cookie or token of ours, and nothing that a request makes up."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from app.challenges.models import Challenge
from app.sessions.models import AuthSession
from tests.signed_in import give_token
from tests.sinks import code_in, link_in

JUNK = {"Authentication-Token": "junk-that-anybody-could-send-0123456789-0123456789"}
ADA = "ada@example.com"
FAULTS = [(ValueError("x"), 500), (sa.exc.OperationalError("", {}, Exception()), 503)]


@pytest.fixture
def registered(wire, mail_to):
    """The email of someone who registered with a junk token instead of a cookie."""
    assert wire.post("/register", csrf=None, headers=JUNK, email=ADA).ok
    return mail_to(ADA)


@pytest.mark.one_database
def test_shared_junk_token_does_not_reveal_another_browsers_email(browser_wire):
    browser_wire.post("/register", csrf=None, headers=JUNK, email=ADA)
    assert ADA in browser_wire.get("/confirm").text
    assert ADA not in browser_wire.elsewhere().get("/confirm", headers=JUNK).text


def test_confirmation_link_does_not_sign_in_another_browser_with_same_junk_token(wire, registered, rows):
    other = wire.elsewhere()
    link = link_in(registered, "/confirm/").removeprefix("http://localhost")
    assert other.get(link, headers=JUNK).status == 200
    assert (rows(AuthSession), other.signed_in_as()) == ([], None)
    assert wire.get(link).status == 302
    assert wire.signed_in_as() == ADA


def test_confirmation_code_does_not_work_in_another_browser_with_same_junk_token(wire, registered, rows):
    fields = {"email": ADA, "passcode": code_in(registered)}
    assert not wire.elsewhere().post("/confirm", csrf=None, headers=JUNK, **fields).ok
    assert rows(Challenge)[0].tries == 0
    assert wire.post("/confirm", **fields).ok


def test_browsers_sharing_a_junk_token_have_separate_challenges(wire, people, rows):
    people.open(email=ADA)
    for browser in (wire, wire.elsewhere()):
        browser.post("/us-signin/send-code", csrf=None, headers=JUNK, identity=ADA, chosen_method="email")
    assert len({row.binding for row in rows(Challenge)}) == 2


def test_authenticated_api_client_verifies_without_cookie_or_challenge_id(program, people, mail_to):
    ada = people.open(email=ADA)
    asked = give_token(program, ada).post("/us-verify/send-code", chosen_method="email")
    done = program.post("/us-verify", passcode=code_in(mail_to(ADA)))
    assert (asked.status, done.status) == (200, 200)
    assert [answer.headers.getlist("Set-Cookie") for answer in (asked, done)] == [[], []]


@pytest.mark.one_database
@pytest.mark.parametrize(("fault", "status"), FAULTS, ids=["500", "503"])
def test_server_error_sets_no_browser_cookie(wire, monkeypatch, fault, status):
    def fail():
        raise fault

    monkeypatch.setattr("app.signin.views.methods_offered", fail)
    answer = wire.get("/us-signin")
    assert (answer.status, answer.headers.getlist("Set-Cookie")) == (status, [])
    monkeypatch.undo()
    assert "latchkey_browser" in wire.get("/us-signin").headers["Set-Cookie"]
