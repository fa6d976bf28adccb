"""A request that is sent twice, by a double click or a retry, has its effect once."""

from __future__ import annotations

import re

import pytest

from app.challenges.models import Challenge, StoredResponse
from app.users import Identity
from tests.signed_in import sign_in
from tests.sinks import code_in

ADA = "ada@example.com"
SEND = "/us-signin/send-code"
KEY = {"Idempotency-Key": "6f1e54c8-a key of ours"}
ASKED = {"identity": ADA, "chosen_method": "email"}


@pytest.fixture
def ada(people):
    return people.open(email=ADA)


def tags(answer) -> set[str]:
    return set(re.findall(r'class="tag">(\w{4})<', answer.text))


@pytest.mark.settings(mail_resend_wait=0)
def test_repeated_idempotency_key_sends_one_email_with_the_same_response(wire, ada, deliver, rows):
    answers = [wire.post(SEND, headers=KEY, **ASKED) for _ in range(3)]
    assert [answer.status for answer in answers] == [200 if wire.language == "json" else 303] * 3
    assert len({answer.json.get("challenge") for answer in answers}) == 1
    assert tags(answers[0]) == tags(answers[2])
    assert (len(rows(Challenge)), len(deliver())) == (1, 1)


@pytest.mark.settings(mail_resend_wait=0)
def test_different_or_missing_idempotency_key_is_a_new_request(wire, ada, deliver):
    wire.post(SEND, headers=KEY, **ASKED)
    wire.post(SEND, headers={"Idempotency-Key": "another key"}, **ASKED)
    wire.post(SEND, **ASKED)
    assert len(deliver()) == 3


@pytest.mark.parametrize("identity", ["bob@example.com", "nobody@example.com"])
def test_idempotency_key_reused_with_another_body_is_rejected(wire, ada, people, deliver, identity):
    people.open(email="bob@example.com")
    wire.post(SEND, headers=KEY, **ASKED)
    answer = wire.post(SEND, headers=KEY, **(ASKED | {"identity": identity}))
    assert (answer.status, answer.codes) == (409, ["idempotency_key_reused"])
    assert len(deliver()) == 1


@pytest.mark.one_database
@pytest.mark.parametrize("key", ["", "short", "x" * 201])
def test_too_short_or_too_long_idempotency_key_is_rejected(wire, ada, deliver, key):
    answer = wire.post(SEND, headers={"Idempotency-Key": key}, **ASKED)
    assert (answer.status, answer.codes) == (400, ["idempotency_key_invalid"])
    assert deliver() == []


def test_idempotency_key_without_cookie_must_have_22_characters(program, ada, deliver):
    for key, status in (("x" * 21, 400), ("x" * 22, 200)):
        assert program.post(SEND, headers={"Idempotency-Key": key}, **ASKED).status == status
    assert len(deliver()) == 1


def test_rejected_key_reuse_stores_nothing(wire, rows):
    wire.fetch_csrf()
    wire.post("/register", headers=KEY, email="first@example.com")
    assert wire.post("/register", headers=KEY, email="second@example.com").status == 409
    assert [identity.value for identity in rows(Identity)] == ["first@example.com"]


@pytest.mark.settings(mail_resend_wait=0)
def test_idempotency_key_is_scoped_to_browser_and_path(wire, ada, deliver):
    wire.post(SEND, headers=KEY, **ASKED)
    assert wire.elsewhere().post(SEND, headers=KEY, **(ASKED | {"chosen_method": "sms"})).ok
    assert wire.post("/register", headers=KEY, email="new@example.com").ok
    assert len(deliver()) == 2


@pytest.mark.settings(mail_resend_wait=0)
def test_idempotency_key_is_kept_for_a_day(wire, ada, deliver, clock):
    wire.post(SEND, headers=KEY, **ASKED)
    for seconds, mails in ((500, 1), (86_390 - 500, 0), (20, 0)):
        assert len(deliver()) == mails
        clock.shift(seconds)
        wire.post(SEND, headers=KEY, **ASKED)
    assert len(deliver()) == 1


def test_api_client_without_cookies_is_identified_by_its_idempotency_key(program, ada, mail_to, rows):
    answers = [program.post(SEND, headers=KEY, **ASKED) for _ in range(3)]
    assert len({answer.json["challenge"] for answer in answers}) == len(rows(Challenge)) == 1
    code, challenge = code_in(mail_to(ADA)), answers[2].json["challenge"]
    assert program.post("/us-signin", identity=ADA, passcode=code, challenge=challenge).ok


def test_idempotency_key_works_the_same_for_unknown_users(wire, rows):
    answers = [wire.post(SEND, headers=KEY, **(ASKED | {"identity": "nobody@example.com"})) for _ in range(2)]
    assert answers[0].json.get("challenge") == answers[1].json.get("challenge")
    assert len(rows(Challenge)) == 1


@pytest.mark.settings(mail_resend_wait=0)
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/us-verify/send-code", {"chosen_method": "email"}),
        ("/register", {"email": "new@example.com"}),
        ("/confirm", {"email": "waits@example.com"}),
        ("/us-setup", {"chosen_method": "email"}),
        ("/us-setup", {"chosen_method": "sms", "phone": "+16502530000"}),
    ],
)
def test_every_sending_endpoint_honors_the_idempotency_key(wire, people, deliver, rows, path, fields):
    people.open(email="waits@example.com", confirmed=False)
    if path.startswith("/us-"):
        sign_in(wire, people.open(email=ADA))
    answers = [wire.post(path, headers=KEY, **fields) for _ in range(2)]
    assert [answer.status for answer in answers] in ([200, 200], [302, 302], [303, 303])
    assert answers[0].json.get("challenge") == answers[1].json.get("challenge")
    assert (len(rows(Challenge)), len(deliver())) == (1, 1)


@pytest.mark.both_databases
@pytest.mark.settings(mail_resend_wait=0)
def test_double_click_sends_one_email_and_a_later_click_another(browser_wire, ada, deliver, clock):
    nonce = browser_wire.get("/us-signin").page.value("nonce")
    for seconds, mails in ((0, 1), (5, 0), (40, 1)):
        with clock.travel(seconds):
            assert browser_wire.post(SEND, nonce=nonce, **ASKED).ok
            assert len(deliver()) == mails


@pytest.mark.both_databases
def test_changed_form_with_the_same_nonce_is_a_new_request(browser_wire, ada, people, deliver):
    people.open(email="bob@example.com")
    nonce = browser_wire.get("/us-signin").page.value("nonce")
    browser_wire.post(SEND, nonce=nonce, identity="+16502530000", chosen_method="sms")
    assert browser_wire.post(SEND, nonce=nonce, **ASKED).ok
    assert len(deliver()) == 1


def test_every_sending_form_has_its_own_nonce(browser_wire, ada):
    pages = [browser_wire.get("/us-signin"), browser_wire.follow(browser_wire.post(SEND, **ASKED))]
    pages += [browser_wire.get("/register"), browser_wire.get("/confirm")]
    sign_in(browser_wire, ada)
    pages += [browser_wire.get("/us-verify"), browser_wire.get("/us-setup")]
    nonces = [page.page.value("nonce") for page in pages]
    assert len(set(nonces) - {None}) == len(pages)


def test_idempotency_key_costs_one_query(wire, ada, people, statements):
    counts = []
    for number, headers in enumerate(({}, KEY)):
        person = people.open(email=f"person-{number}@example.com")
        with statements() as seen:
            wire.post(SEND, headers=headers, identity=person.email, chosen_method="email")
        counts.append(len(seen))
    assert counts[1] == counts[0] + 1 <= 6


def test_neither_idempotency_key_nor_body_is_stored_in_clear(wire, ada, rows, database):
    wire.post(SEND, headers=KEY, passcode="00001234", **ASKED)
    [row] = rows(StoredResponse)
    assert (len(row.id), len(row.body)) == (64, 64)
    assert KEY["Idempotency-Key"] not in repr(database.query("SELECT * FROM repeat"))


@pytest.mark.one_database
def test_expired_idempotency_keys_are_pruned(wire, ada, app, rows, clock):
    from app.challenges.idempotency import prune_stored_responses

    wire.post(SEND, headers=KEY, **ASKED)
    clock.shift(86_401)
    with app.app_context():
        assert prune_stored_responses() == 1
    assert rows(StoredResponse) == []
