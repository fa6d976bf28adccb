"""/sessions and API clients: what a client sees and ends there, and how people see it."""

from __future__ import annotations

import pytest

from app.sessions.models import AuthSession
from tests.signed_in import sign_in
from tests.wire import Program

pytestmark = pytest.mark.both_databases

ASKING = "/us-signin?include_auth_token&include_refresh_token"
DAY = 24 * 3600


@pytest.fixture
def ada(people):
    """Someone who signs in by an app."""
    return people.open(email="ada@example.com", methods=["email", "authenticator"])


@pytest.fixture
def enter(app, ada, clock):
    """Signs a program in as Ada: ``program, refresh_token = enter()``."""

    def made() -> tuple[Program, str]:
        clock.shift(31)
        program = Program(app)
        user = program.post(ASKING, identity=ada.email, passcode=ada.app_code()).json["user"]
        program.token = user["authentication_token"]
        return program, user["refresh_token"]

    return made


def own(program) -> dict:
    """Return the session that a program sees as its own."""
    return next(session for session in program.get("/sessions").json["sessions"] if session["current"])


def test_api_client_sees_its_own_session_first_with_refresh_expiry(enter):
    enter()
    program, _ = enter()
    listed = program.get("/sessions").json["sessions"]
    assert [session["current"] for session in listed] == [True, False]
    assert [len(session["programs"]) for session in listed] == [1, 1]
    assert all(session["refresh"]["expires_at"] <= session["expires_at"] for session in listed)


def test_api_client_ending_its_own_session_loses_access_and_refresh(enter):
    program, refresh = enter()
    answer = program.post(f"/sessions/{own(program)['id']}/end")
    assert (answer.json, answer.headers["Clear-Site-Data"]) == ({"ended": 1}, '"cache", "storage"')
    assert program.get("/sessions").status == 401
    assert program.post("/us-refresh", refresh_token=refresh).status == 401


def test_api_client_ends_session_of_another_and_keeps_its_own(enter):
    other, refresh = enter()
    program, _ = enter()
    assert program.post(f"/sessions/{own(other)['id']}/end").json["ended"] == 2
    assert (other.get("/").status, program.get("/").status) == (401, 200)
    assert other.post("/us-refresh", refresh_token=refresh).codes == ["refresh_token_invalid"]


def test_api_client_ends_all_other_sessions_and_keeps_its_own(enter, json_wire, ada):
    browser, (other, _), (program, refresh) = sign_in(json_wire, ada), enter(), enter()
    assert program.post("/sessions/end-others").ok
    assert (browser.signed_in_as(), other.signed_in_as(), program.signed_in_as()) == (None, None, ada.email)
    assert program.post("/us-refresh", refresh_token=refresh).ok


def test_a_session_with_many_tokens_is_listed_once(enter):
    program, refresh = enter()
    for _ in range(3):
        refresh = program.post("/us-refresh", refresh_token=refresh).json["user"]["refresh_token"]
    listed = program.get("/sessions").json["sessions"]
    assert [len(session["programs"]) for session in listed] == [4]


def test_session_with_only_a_refresh_token_is_listed_and_can_be_ended(enter, json_wire, ada, clock):
    program, refresh = enter()
    clock.shift(DAY)
    browser = sign_in(json_wire, ada)
    listed = next(session for session in browser.get("/sessions").json["sessions"] if session["refresh"])
    assert listed["programs"] == []
    assert browser.post(f"/sessions/{listed['id']}/end").json["ended"] == 2, "the session, and a token past its time"
    assert program.post("/us-refresh", refresh_token=refresh).status == 401


@pytest.mark.parametrize("how", ["used twice", "signed out", "unused"])
def test_session_whose_refresh_token_is_dead_is_not_listed(enter, json_wire, ada, clock, how):
    program, refresh = enter()
    if how == "unused":
        clock.shift(7 * DAY + 1)
    elif how == "signed out":
        program.post("/logout", refresh_token=refresh)
    else:
        for _ in range(2):
            program.post("/us-refresh", refresh_token=refresh)
    listed = sign_in(json_wire, ada).get("/sessions").json["sessions"]
    assert [session["current"] for session in listed] == [True]


def test_session_list_exposes_no_tokens(enter, rows):
    program, refresh = enter()
    answer = program.get("/sessions")
    row = next(row for row in rows(AuthSession, kind="browser"))
    assert not [text for text in (refresh, refresh[4:26], program.token, row.digest) if text in answer.text]


def test_personal_token_sees_and_ends_sessions_but_has_none_itself(app, json_wire, ada, enter):
    made = {"name": "x", "scopes": ["read", "manage"], "expires_in_days": 1}
    script = Program(app)
    script.token = sign_in(json_wire, ada, via="authenticator").post("/tokens", **made).json["token"]
    enter()
    assert [session["current"] for session in script.get("/sessions").json["sessions"]] == [False, False]
    assert script.post("/sessions/end-others").ok
    assert script.get("/sessions").json["sessions"] == []


@pytest.mark.parametrize("session_id", ["", "0" * 31, "g" * 32, "%00", "a" * 4000])
def test_ending_a_malformed_session_id_is_rejected(enter, session_id):
    program, _ = enter()
    answer = program.post(f"/sessions/{session_id}/end")
    assert answer.status in (404, 405, 308)
    assert program.get("/").status == 200
