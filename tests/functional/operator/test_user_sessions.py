"""``flask users sessions``: an operator sees and ends someone's sessions, for every process."""

from __future__ import annotations

import json
import time

import pytest

from app import user_agents
from app.audit import Event
from app.sessions.models import ApiToken, AuthSession
from tests.signed_in import give_token, sign_in
from tests.wire import Program, Wire

pytestmark = pytest.mark.both_databases

PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18.0 Mobile Safari/604.1"


@pytest.fixture
def ada(people):
    """Someone with two sign-in methods."""
    return people.open(email="ada@example.com", methods=["email", "authenticator"])


@pytest.fixture
def laptop(app, ada):
    """Her browser."""
    return sign_in(Wire(app, "form"), ada)


@pytest.fixture
def phone(app, ada):
    """Her other browser."""
    return sign_in(Wire(app, "form", agent=PHONE), ada, via="email")


def session_id_of(rows, agent: str) -> str:
    """Return the id of the session of the browser that calls itself so."""
    return next(row.session_id for row in rows(AuthSession, kind="browser") if row.agent == user_agents.label(agent))


def test_sessions_are_listed_one_per_line(operate, laptop, phone, rows):
    result = operate("users", "sessions", "list", "ada@example.com")
    assert result.exit_code == 0
    assert "Safari on iPhone or iPad, 127.0.0.1, by email, since " in result.stdout
    assert "Firefox on Linux, 127.0.0.1, by authenticator, since " in result.stdout
    assert result.stderr == "2 sessions.\nNo API tokens.\n"
    assert session_id_of(rows, PHONE) in result.stdout
    assert not [row for row in rows(AuthSession) if row.digest in result.output]


def test_sessions_are_listed_as_json(operate, laptop):
    told = json.loads(operate("users", "sessions", "list", "ada@example.com", "--json").stdout)
    assert (told["proved_by"], told["aal"], told["programs"]) == (["authenticator"], 1, 1)


def test_list_shows_sessions_with_refresh_tokens(operate, program, ada):
    path = "/us-signin?include_auth_token&include_refresh_token"
    assert program.post(path, identity=ada.email, passcode=ada.app_code()).ok
    assert ", 1 token, refreshed " in operate("users", "sessions", "list", ada.email).stdout
    told = json.loads(operate("users", "sessions", "list", ada.email, "--json").stdout)
    assert told["refreshed_at"] < told["refreshes_until"]


def test_ending_one_session_keeps_the_others(operate, laptop, phone, rows):
    result = operate("users", "sessions", "end", "ada@example.com", session_id_of(rows, PHONE))
    assert (result.exit_code, result.stderr) == (0, "")
    assert (phone.signed_in_as(), laptop.signed_in_as()) == (None, "ada@example.com")
    assert rows(Event, name="session.ended")[0].facts["reason"] == "ended_by_operator"


def test_ending_all_sessions_revokes_their_access_tokens(operate, app, ada, laptop, phone):
    program = give_token(Program(app), ada)
    assert operate("users", "sessions", "end", "ada@example.com", "--all").exit_code == 0
    assert (phone.signed_in_as(), laptop.signed_in_as(), program.signed_in_as()) == (None, None, None)
    assert "Signed out by an administrator" in sign_in(laptop, ada).get("/activity").text


def test_ending_all_sessions_keeps_personal_tokens_unless_requested(operate, laptop, rows):
    assert laptop.post("/tokens", name="backup", scopes=["read"], expires_in_days=30).status == 200
    assert "1 API token stays valid" in operate("users", "sessions", "end", "ada@example.com", "--all").stdout
    assert rows(ApiToken)[0].revoked_at is None
    assert "1 API token revoked" in operate("users", "sessions", "end", "ada@example.com", "--all", "--tokens").stdout
    assert rows(ApiToken)[0].revoked_at is not None


@pytest.mark.parametrize("words", [(), ("--all", "0" * 32), ("--tokens",)])
def test_ambiguous_end_arguments_are_rejected(operate, laptop, words):
    assert operate("users", "sessions", "end", "ada@example.com", *words).exit_code == 2
    assert laptop.signed_in_as() == "ada@example.com"


def test_session_of_another_user_is_rejected(operate, people, laptop, rows):
    people.open(email="eve@example.com")
    result = operate("users", "sessions", "end", "eve@example.com", rows(AuthSession)[0].session_id)
    assert (result.exit_code, "has no such session" in result.stderr) == (1, True)
    assert laptop.signed_in_as() == "ada@example.com"


@pytest.mark.parametrize("command", ["list", "end"])
def test_unknown_user_is_reported(operate, command):
    more = ["--all"] if command == "end" else []
    result = operate("users", "sessions", command, "nobody@example.com", *more)
    assert (result.exit_code, "no account has that" in result.stderr) == (1, True)


def test_ended_sessions_are_rejected_by_other_replicas_within_a_second(operate, make_app, ada, laptop):
    elsewhere = Wire(make_app(pool_size=3), "json")
    elsewhere.client.set_cookie("latchkey_session", laptop.cookies["latchkey_session"])
    assert elsewhere.get("/sessions").status == 200
    operate("users", "sessions", "end", "ada@example.com", "--all")
    ended = time.monotonic()
    assert elsewhere.get("/sessions").status == 401
    assert time.monotonic() - ended < 1
