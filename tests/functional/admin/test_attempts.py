"""/admin/attempts: explains a sign-in attempt by its support ID."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa

from tests.functional.signin.conftest import wrong
from tests.signed_in import sign_in
from tests.sinks import code_in

SEND = "/us-signin/send-code"


def attempt_of(wire, mail_to) -> str:
    """Sign in as Ada with a wrong code first; return the support ID of the refusal."""
    browser = wire.elsewhere()
    browser.post(SEND, identity="ada@example.com", chosen_method="email")
    code = code_in(mail_to("ada@example.com"))
    refused = browser.post("/us-signin", identity="ada@example.com", passcode=wrong(code))
    browser.post("/us-signin", identity="ada@example.com", passcode=code)
    return refused.json.get("support_id") or refused.page.support_id


def test_support_id_search_shows_the_attempt_and_its_account(console, wire, ada, of_ada, mail_to):
    support_id = attempt_of(wire, mail_to)
    answer = console.get(f"/admin/attempts?support_id=%20{support_id.lower()}")
    assert answer.status == 200
    if console.language == "json":
        assert [entry["reason"] for entry in answer.json["entries"]][:3] == ["queued", "sent", "wrong_code"]
        assert answer.json["support_id"] == support_id
        assert answer.json["people"] == [{"handle": of_ada.rpartition("/")[2], "label": "ada@example.com"}]
        return
    titles = re.findall(r'<p class="way-what">([^<]+)', answer.text)
    assert titles[:3] == ["Message queued", "Message sent", "Wrong code entered"]
    assert f'href="{of_ada}"><bdi>ada@example.com' in answer.text


def test_attempt_page_contains_neither_code_nor_link(console, wire, ada, mail_to):
    support_id = attempt_of(wire, mail_to)
    code = code_in(mail_to("ada@example.com"))
    body = console.get(f"/admin/attempts?support_id={support_id}").response.get_data(as_text=True)
    assert code not in body.replace(" ", "")
    assert "us-verify-link" not in body


def test_unknown_support_id_finds_nothing(console):
    for unknown in ("ZZZZZZZZ", "x" * 5000, "%F0%9F%94%91", "%25"):
        answer = console.get(f"/admin/attempts?support_id={unknown}")
        assert answer.status == 200
        if console.language == "json":
            assert answer.json["entries"] == []
        else:
            assert "Nothing is known of it" in answer.text
    assert console.get("/admin/attempts?support_id=%00").status == 400


def test_attempts_page_without_a_support_id_shows_an_empty_search(console):
    answer = console.get("/admin/attempts")
    assert answer.status == 200
    if console.language == "form":
        assert "Nothing is known" not in answer.text


def test_people_search_by_support_id_redirects_to_the_attempt(console, wire, ada, mail_to):
    support_id = attempt_of(wire, mail_to)
    answer = console.get(f"/admin/people?q={support_id.lower()}")
    if console.language == "json":
        assert (answer.json["people"], answer.json["attempt"]) == ([], support_id)
        assert console.get("/admin/people?q=ZZZZZZZZ").json["attempt"] is None
    else:
        assert (answer.status, answer.location) == (302, f"/admin/attempts?support_id={support_id}")
        assert console.get("/admin/people?q=ZZZZZZZZ").status == 200


@pytest.mark.both_databases
def test_account_page_lists_its_latest_attempts(json_wire, grace, ada, of_ada, mail_to):
    support_id = attempt_of(json_wire, mail_to)
    person = sign_in(json_wire, grace).get(of_ada).json["person"]
    assert support_id in [each["support_id"] for each in person["attempts"] if each["reason"] == "wrong_code"]


@pytest.mark.both_databases
def test_attempt_shows_the_message_waiting_for_a_retry(json_wire, grace, ada, app):
    from app.extensions import db
    from app.outbox import Message

    browser = json_wire.elsewhere()
    support_id = browser.post(SEND, identity="ada@example.com", chosen_method="email").json["support_id"]
    with app.app_context():
        [message] = db.session.scalars(sa.select(Message).where(Message.challenge_id.is_not(None)))
        message.attempts, message.last_error = 2, "mail server not ready (451)"
        db.session.commit()
    entries = sign_in(json_wire, grace).get(f"/admin/attempts?support_id={support_id}").json["entries"]
    assert "will be tried again; try 2 to a...@example.com failed; mail server not ready (451)" in [
        entry["detail"] for entry in entries
    ]


def test_attempt_details_are_translated(browser_wire, grace, ada, app):
    from app.extensions import db
    from app.users import User

    browser = browser_wire.elsewhere()
    shown = browser.post(SEND, identity="nobody@example.com", chosen_method="email").page.support_id
    with app.app_context():
        db.session.get_one(User, grace.id).language = "de"
        db.session.commit()
    page = sign_in(browser_wire, grace).get(f"/admin/attempts?support_id={shown}").text
    assert f"Support-ID {shown}</bdi>" in page
    assert "<bdi>Methode email</bdi>" in page
    assert "support ID" not in page
