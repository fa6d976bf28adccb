"""/tokens: people create and revoke API tokens, which allow no more than their scopes."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.audit import Event
from app.crypto import secrets
from app.sessions.models import ApiToken
from tests.logging_kept import logging_kept
from tests.signed_in import give_token, sign_in
from tests.sinks import code_in, denial_in
from tests.wire import Program

MADE = {"name": "Nightly", "scopes": ["read"], "expires_in_days": 30}
DAY = 24 * 3600


@pytest.fixture
def ada(people):
    """Someone who signs in by email."""
    return people.open(email="ada@example.com")


@pytest.fixture
def here(wire, ada):
    """The browser that Ada has just signed in from."""
    return sign_in(wire, ada)


@pytest.fixture
def make(app, people, json_wire):
    """Creates a token for someone, and returns the API client that has it: ``make(ada, scopes=["manage"])``."""

    def made(person, **different) -> Program:
        answer = sign_in(json_wire.elsewhere(), person).post("/tokens", **(MADE | different))
        assert answer.ok, answer
        program = Program(app)
        program.token = answer.json["token"]
        return program

    return made


def shown(answer) -> str:
    """Return the token that an answer shows."""
    return answer.json.get("token") or re.search(r'id="made-token">([^<]+)<', answer.text)[1]


def test_new_token_is_shown_once_and_authenticates(app, here, ada):
    token = shown(here.post("/tokens", **MADE))
    program = Program(app)
    program.token = token
    assert program.signed_in_as() == ada.email
    assert (program.get("/").status, program.get("/").json["amr"]) == (200, ["personal_token"])
    assert token not in here.get("/tokens").text


def test_token_has_recognizable_prefix_and_is_stored_only_as_digest(here, database, rows):
    token = shown(here.post("/tokens", **MADE))
    assert re.fullmatch(r"lkp_[0-9A-Za-z]{49}", token)
    assert secrets.has_prefix(token, secrets.API_PREFIX)
    row = rows(ApiToken)[0]
    assert token not in str(vars(row))
    assert len(row.digest) == 64


def test_token_is_listed_by_name(here):
    here.post("/tokens", **MADE)
    answer = here.get("/tokens")
    assert "Nightly" in answer.text
    if here.language == "json":
        listed = answer.json["tokens"][0]
        assert (listed["name"], listed["scopes"], listed["last_used_at"]) == ("Nightly", ["read"], None)


def test_owner_is_notified_of_new_token_by_email_and_in_activity(here, ada, mail_to, rows):
    here.post("/tokens", **MADE)
    text = mail_to(ada.email).text
    assert "An API token was created." in text
    assert "Nightly" not in text, "whoever makes one in a session that is not theirs would write its owner a mail"
    event = rows(Event, name="token.created")[0]
    assert (event.user_id, event.facts["scopes"], event.facts["days"]) == (ada.id, ["read"], 30)
    assert "API token created" in here.get("/activity").text


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"name": ""}, "required"),
        ({"name": "   "}, "required"),
        ({"name": "x" * 65}, "token_name_invalid"),
        ({"name": "a\u202eb"}, "token_name_invalid"),
        ({"name": "\u3164"}, "token_name_invalid"),
        ({"name": "a\u034fb"}, "token_name_invalid"),
        ({"scopes": []}, "token_scope_unknown"),
        ({"scopes": ["read", "admin"]}, "token_scope_unknown"),
        ({"scopes": ["READ"]}, "token_scope_unknown"),
        ({"expires_in_days": "0"}, "token_age_invalid"),
        ({"expires_in_days": 366}, "token_age_invalid"),
        ({"expires_in_days": "-1"}, "token_age_invalid"),
        ({"expires_in_days": "1.5"}, "token_age_invalid"),
        ({"expires_in_days": "٣"}, "token_age_invalid"),
        ({"expires_in_days": "9" * 400}, "token_age_invalid"),
        ({"expires_in_days": ""}, "required"),
    ],
)
@pytest.mark.one_database
def test_invalid_token_fields_are_rejected(here, rows, wrong, code):
    answer = here.post("/tokens", **(MADE | wrong))
    assert (answer.status, answer.codes) == (400, [code])
    assert rows(ApiToken) == []


@pytest.mark.parametrize("value", [1.5, True, {"a": 1}, [[1]], "\x00"])
@pytest.mark.parametrize("name", ["name", "scopes", "expires_in_days"])
@pytest.mark.one_database
def test_values_of_the_wrong_type_are_rejected(json_wire, ada, rows, name, value):
    answer = sign_in(json_wire, ada).post("/tokens", **(MADE | {name: value}))
    assert answer.status == 400
    assert rows(ApiToken) == []


def test_creating_a_token_requires_reauthentication_and_csrf_token(here, rows, clock):
    assert here.post("/tokens", csrf=None, **MADE).codes == ["csrf_token_missing"]
    clock.shift(301)
    answer = here.post("/tokens", **MADE)
    assert answer.status == (401 if here.language == "json" else 302)
    assert "Confirm it's you first" in here.get("/tokens").text or here.language == "json"
    assert rows(ApiToken) == []


def test_token_pages_require_sign_in(wire):
    for answer in (wire.get("/tokens"), wire.post("/tokens", **MADE), wire.post("/tokens/revoke-all")):
        assert answer.status == (401 if wire.language == "json" else 302)


def test_api_client_with_fresh_proof_creates_a_token(program, ada):
    answer = give_token(program, ada).post("/tokens", **MADE)
    assert answer.json["token"].startswith("lkp_")


def test_revoked_token_is_rejected_and_revoking_is_idempotent(here, app, rows):
    program = Program(app)
    program.token = shown(here.post("/tokens", **MADE))
    token_id = rows(ApiToken)[0].id
    assert here.post(f"/tokens/{token_id}/revoke").ok
    assert program.get("/").status == 401
    assert here.post(f"/tokens/{token_id}/revoke").ok, "twice is the same as once"
    assert len(rows(Event, name="token.revoked")) == 1
    assert "Nightly" not in here.get("/tokens").text


@pytest.mark.parametrize("whose", ["another's", "nobody's", "no id"])
def test_token_of_another_user_or_an_unknown_one_cannot_be_revoked(here, people, make, rows, whose):
    program = make(people.open(email="eve@example.com"))
    ids = {"another's": rows(ApiToken)[0].id, "nobody's": "0" * 32}
    assert here.post(f"/tokens/{ids.get(whose, 'x')}/revoke").status == 404
    assert program.signed_in_as() == "eve@example.com"
    assert "Nightly" not in here.get("/tokens").text


def test_revoking_all_tokens_keeps_those_of_other_users(here, ada, people, make):
    mine, hers = [make(ada), make(ada)], make(people.open(email="eve@example.com"))
    assert here.post("/tokens/revoke-all").json.get("ended", 2) == 2
    assert [program.signed_in_as() for program in (*mine, hers)] == [None, None, "eve@example.com"]


def test_expired_token_is_rejected_and_stays_listed_for_a_while(here, ada, make, clock):
    program = make(ada, expires_in_days=1)
    clock.shift(DAY - 5)
    assert program.signed_in_as() == ada.email
    clock.shift(10)
    assert program.signed_in_as() is None
    assert "Nightly" in here.get("/tokens").text
    clock.shift(30 * DAY)
    assert "Nightly" not in sign_in(here, ada).get("/tokens").text


@pytest.mark.both_databases
def test_disabling_the_account_revokes_its_tokens_permanently(app, ada, make):
    program = make(ada)
    for command in ("disable", "enable"):
        assert app.test_cli_runner().invoke(args=["users", command, ada.email]).exit_code == 0
        assert program.signed_in_as() is None


def test_signing_out_everywhere_keeps_personal_tokens(here, ada, make):
    program = make(ada)
    here.post("/sessions/end-others")
    here.post("/logout")
    assert program.signed_in_as() == ada.email


@pytest.mark.settings(personal_tokens=2)
def test_number_of_tokens_per_account_is_limited(here, ada, make, rows):
    make(ada)
    make(ada)
    answer = here.post("/tokens", **MADE)
    assert (answer.status, answer.codes) == (400, ["too_many_tokens"])
    here.post(f"/tokens/{rows(ApiToken)[0].id}/revoke")
    assert here.post("/tokens", **MADE).ok


def test_tokens_are_rejected_when_disabled(app, make_app, ada, make):
    program = make(ada)
    without = Program(make_app(personal_tokens=0))
    without.token = program.token
    assert without.get("/").status == 401


def test_maximum_token_lifetime_is_configurable(make_app, people, wire):
    from tests.wire import Wire

    short = Wire(make_app(personal_token_max_age=10 * DAY), wire.language)
    sign_in(short, people.open())
    assert short.post("/tokens", **(MADE | {"expires_in_days": 11})).codes == ["token_age_invalid"]
    assert short.post("/tokens", **(MADE | {"expires_in_days": 10})).ok


def test_token_name_is_escaped(browser_wire, ada):
    sign_in(browser_wire, ada).post("/tokens", **(MADE | {"name": "<script>alert(1)</script>"}))
    page = browser_wire.get("/tokens").text
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page


@pytest.mark.parametrize("again", [False, True])
def test_denying_a_sign_in_revokes_tokens_only_if_it_had_succeeded(json_wire, ada, make, mail_to, rows, again):
    program = make(ada)
    stranger = json_wire.elsewhere(address="203.0.113.9")
    stranger.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    mail = mail_to(ada.email)
    if again:
        assert stranger.post("/us-signin", identity=ada.email, passcode=code_in(mail)).ok
    assert json_wire.elsewhere(address="192.0.2.1").post(denial_in(mail), sure=True).ok
    assert program.signed_in_as() == (None if again else ada.email)
    assert len(rows(Event, name="tokens.revoked")) == again


@pytest.mark.both_databases
@pytest.mark.settings(starts_per_address=3)
def test_token_creation_is_rate_limited(json_wire, ada, deliver):
    browser = sign_in(json_wire, ada)
    answers = [browser.post("/tokens", **MADE) for _ in range(4)]
    assert [answer.status for answer in answers] == [200] * 3 + [429]
    assert len(deliver()) == 3


def test_denial_link_in_the_new_token_email_revokes_the_token(json_wire, ada, make, mail_to):
    program = make(ada)
    assert json_wire.elsewhere(address="192.0.2.1").post(denial_in(mail_to(ada.email)), sure=True).ok
    assert program.signed_in_as() is None


@pytest.mark.both_databases
def test_session_denied_during_the_request_creates_no_token(json_wire, ada, mail_to, rows, monkeypatch):
    from app.account import api_tokens

    stranger, take_turns = json_wire.elsewhere(address="203.0.113.9"), api_tokens._take_turns
    stranger.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    mail = mail_to(ada.email)
    assert stranger.post("/us-signin", identity=ada.email, passcode=code_in(mail)).ok

    def denied_first(*given):
        denier = ThreadPoolExecutor(1)
        assert denier.submit(stranger.elsewhere(address="192.0.2.9").post, denial_in(mail), sure=True).result().ok
        take_turns(*given)

    monkeypatch.setattr(api_tokens, "_take_turns", denied_first)
    assert stranger.post("/tokens", **MADE).codes == ["api_error"]
    assert rows(ApiToken) == []


@pytest.mark.both_databases
def test_session_ended_during_the_request_creates_no_token(json_wire, ada, rows, monkeypatch):
    from app.account import api_tokens

    stranger, owner = sign_in(json_wire.elsewhere(), ada), sign_in(json_wire, ada)
    take_turns = api_tokens._take_turns

    def ended_first(*given):
        assert ThreadPoolExecutor(1).submit(owner.post, "/sessions/end-others").result().ok
        take_turns(*given)

    monkeypatch.setattr(api_tokens, "_take_turns", ended_first)
    assert stranger.post("/tokens", **MADE).codes == ["api_error"]
    assert rows(ApiToken) == []


@pytest.mark.both_databases
@pytest.mark.settings(personal_tokens=3)
def test_token_limit_holds_under_concurrent_creation(json_wire, ada, rows):
    browsers = [sign_in(json_wire.elsewhere(), ada) for _ in range(8)]
    for browser in browsers:
        browser.fetch_csrf()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda browser: browser.post("/tokens", **MADE).status, browsers))
    assert sorted(answers) == [200] * 3 + [400] * 5
    assert len(rows(ApiToken)) == 3


@pytest.mark.both_databases
def test_tokens_appear_in_no_log_line_or_database_row(app, ada, program, json_wire, database, capfd, caplog):
    from app.observability import configure_logging

    with logging_kept():
        configure_logging("debug", "json")
        caplog.set_level("DEBUG")
        secrets = [sign_in(json_wire, ada).post("/tokens", **MADE).json["token"], give_token(program, ada).token]
        asked = json_wire.post("/us-verify?include_auth_token&include_refresh_token", passcode="00000000")
        assert asked.status == 400
        program.token = secrets[0]
        program.get("/")
        program.post("/us-refresh", refresh_token=secrets[0])
        said = repr([[record.getMessage() for record in caplog.records], capfd.readouterr()])
    kept = "".join(repr(database.query(f"SELECT * FROM {table}")) for table in ("personal_token", "event", "message"))
    assert not [secret for secret in secrets if secret in said or secret in kept]


@pytest.mark.both_databases
def test_erasing_the_account_deletes_its_tokens(ada, make, rows, database):
    make(ada)
    if database.kind == "sqlite":
        database._connection.execute("PRAGMA foreign_keys = ON")
    else:
        database._connection.execute("SET session_replication_role = origin")
    database._connection.execute(f'DELETE FROM "user" WHERE id = {ada.id}')
    database.disconnect()
    assert rows(ApiToken) == []


def test_closing_the_account_revokes_its_tokens(app, ada, make, here, rows):
    program = make(ada)
    assert here.post("/my-data/delete", sure=True).ok
    assert program.get("/").status == 401
    assert [event.facts["reason"] for event in rows(Event, name="tokens.revoked")] == ["deletion"]
