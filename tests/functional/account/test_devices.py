"""/sessions: people see where they are signed in, and end sessions. Nobody sees or ends another's."""

from __future__ import annotations

import pytest

from app import user_agents
from app.audit import Event
from app.sessions.models import AuthSession
from tests.signed_in import give_token, sign_in

PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18.0 Mobile Safari/604.1"


@pytest.fixture
def ada(people):
    """Someone with two sign-in methods."""
    return people.open(email="ada@example.com", methods=["email", "authenticator"])


@pytest.fixture
def here(wire, ada):
    """The browser that Ada views the page with."""
    return sign_in(wire, ada)


@pytest.fixture
def phone(wire, ada):
    """Ada's other browser."""
    return sign_in(wire.elsewhere(agent=PHONE), ada, via="authenticator")


@pytest.fixture
def eve(wire, people):
    """Someone else, signed in."""
    return sign_in(wire.elsewhere(), people.open(email="eve@example.com"))


def session_id_of(rows, agent: str) -> str:
    """Return the session ID of the browser with this name."""
    return next(row.session_id for row in rows(AuthSession, kind="browser") if row.agent == user_agents.label(agent))


def test_session_list_shows_all_sessions_and_marks_the_current_one(here, phone):
    answer = here.get("/sessions")
    assert answer.status == 200
    if here.language == "form":
        shown = ["Safari on iPhone or iPad", "Firefox on Linux", "This browser", "127.0.0.1", "Authenticator app"]
        assert [text for text in shown if text not in answer.text] == []
        return
    mine, other = answer.json["sessions"]
    assert (mine["current"], other["current"]) == (True, False)
    assert (other["browser"], other["methods"]) == ("Safari on iPhone or iPad", ["authenticator"])


def test_session_pages_require_sign_in(wire):
    for answer in (wire.get("/sessions"), wire.post("/sessions/end-others"), wire.post(f"/sessions/{'0' * 32}/end")):
        assert answer.status == (401 if wire.language == "json" else 302)


def test_session_list_excludes_sessions_of_other_users(eve, here, phone):
    answer = eve.get("/sessions")
    assert "Safari" not in answer.text
    assert len(answer.json.get("sessions", [1])) == 1


def test_session_list_exposes_no_token_digest_or_row_id(json_wire, ada, rows):
    answer = sign_in(json_wire, ada).get("/sessions")
    row = rows(AuthSession, kind="browser")[0]
    assert row.digest not in answer.text
    assert set(answer.json["sessions"][0]) == {
        "aal", "id", "current", "browser", "address", "first_seen_at", "last_seen_at", "expires_at", "methods",
        "programs", "refresh",
    }  # fmt: skip
    assert answer.json["sessions"][0]["id"] == row.session_id


@pytest.mark.parametrize("dead", ["revoked", "expired", "idle"])
def test_ended_sessions_are_not_listed(json_wire, ada, database, rows, clock, dead):
    sign_in(json_wire.elsewhere(agent=PHONE), ada)
    if dead == "revoked":
        sign_in(json_wire, ada).post(f"/sessions/{session_id_of(rows, PHONE)}/end")
    else:
        clock.shift({"expired": 31, "idle": 7.1}[dead] * 24 * 3600)
        sign_in(json_wire, ada)
    assert [session["current"] for session in json_wire.get("/sessions").json["sessions"]] == [True]


def test_access_tokens_are_listed_under_their_session(json_wire, program, ada):
    give_token(program, ada)
    given = [session for session in sign_in(json_wire, ada).get("/sessions").json["sessions"] if session["programs"]]
    assert len(given[0]["programs"][0]) == 3
    own = program.get("/sessions").json["sessions"]
    assert own[0]["current"] is True
    assert own[0]["programs"]


def test_ending_a_session_keeps_other_sessions(here, phone, ada, rows):
    answer = here.post(f"/sessions/{session_id_of(rows, PHONE)}/end")
    assert (answer.ok, answer.json.get("ended", 2)) == (True, 2)
    assert (phone.signed_in_as(), here.signed_in_as()) == (None, ada.email)
    ended = rows(Event, name="session.ended")[0]
    assert (ended.user_id, ended.facts) == (ada.id, {"reason": "ended_by_owner", "sessions": 2})


def test_ending_a_session_revokes_its_access_tokens(json_wire, program, ada, rows):
    give_token(program, ada)
    assert sign_in(json_wire, ada).post(f"/sessions/{session_id_of(rows, 'program/1')}/end").ok
    assert program.signed_in_as() is None


def test_ending_a_session_is_idempotent(here, phone, rows):
    path = f"/sessions/{session_id_of(rows, PHONE)}/end"
    assert (here.post(path).ok, here.post(path).ok) == (True, True)
    assert len(rows(Event, name="session.ended")) == 1


def test_ending_the_current_session_signs_out(here, phone, ada, rows):
    mine = next(
        row.session_id for row in rows(AuthSession, kind="browser") if row.agent == user_agents.label(here.agent)
    )
    answer = here.post(f"/sessions/{mine}/end")
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert (answer.location, answer.json.get("csrf_token")) == ("/" if here.language == "form" else None, None)
    assert (here.signed_in_as(), phone.signed_in_as()) == (None, ada.email)
    assert rows(Event, name="session.ended")[0].facts == {"reason": "signed_out"}


@pytest.mark.parametrize("whose", ["another's", "nobody's", "no id", "a row's", "NUL", "long"])
def test_ending_a_session_of_another_user_or_an_unknown_one_returns_404(eve, here, rows, whose):
    row = rows(AuthSession, kind="browser")[-1]
    assert here.signed_in_as() == "ada@example.com"
    ids = {"another's": row.session_id, "nobody's": "0" * 32, "no id": "x", "a row's": str(row.id), "NUL": "%00"}
    answer = eve.post(f"/sessions/{ids.get(whose, 'a' * 4000)}/end")
    assert (answer.status, answer.codes if eve.language == "json" else ["not_found"]) == (404, ["not_found"])
    assert here.signed_in_as() == "ada@example.com"
    assert rows(Event, name="session.ended") == []


def test_ending_other_sessions_keeps_the_current_one_and_those_of_other_users(here, phone, eve, ada, rows):
    answer = here.post("/sessions/end-others")
    assert (answer.ok, answer.json.get("ended", 2)) == (True, 2)
    assert (phone.signed_in_as(), here.signed_in_as(), eve.signed_in_as()) == (None, ada.email, "eve@example.com")
    assert rows(Event, name="session.ended")[0].facts == {"reason": "others_ended_by_owner", "sessions": 2}


def test_ending_other_sessions_records_no_event_if_there_are_none(wire, ada, rows, database):
    sign_in(wire, ada)
    database.query("DELETE FROM auth_session WHERE kind = 'program' RETURNING id")
    assert wire.post("/sessions/end-others").ok
    assert rows(Event, name="session.ended") == []


def test_ending_other_sessions_requires_no_reauthentication(here, phone, clock):
    clock.shift(6 * 24 * 3600)
    assert here.post("/sessions/end-others").ok
    assert phone.signed_in_as() is None


@pytest.mark.parametrize("path", ["/sessions/end-others", "/sessions/{}/end", "/known-browsers/{}/forget"])
def test_post_without_csrf_token_ends_no_session(here, phone, ada, rows, path):
    answer = here.post(path.format(session_id_of(rows, PHONE)), csrf=None)
    assert (answer.status, answer.codes) == (400, ["csrf_token_missing"])
    assert phone.signed_in_as() == ada.email


def test_get_request_ends_no_session(here, phone, ada, rows):
    for path in ("/sessions/end-others", f"/sessions/{session_id_of(rows, PHONE)}/end"):
        answer = here.get(path)
        if here.language == "json":
            assert answer.status == 405
        else:  # GET of a form's URL redirects to its page
            assert (answer.status, answer.location) == (302, "/sessions")
    assert phone.signed_in_as() == ada.email


@pytest.mark.one_database
def test_query_count_does_not_depend_on_number_of_sessions(here, ada, statements):
    def cost() -> int:
        with statements() as seen:
            here.get("/sessions")
        assert {statement.split()[0] for statement in seen} == {"SELECT"}
        return len(seen)

    before = cost()
    for _ in range(5):
        sign_in(here.elsewhere(agent=PHONE), ada)
    assert cost() == before == (3 if here.language == "json" else 6)


@pytest.mark.one_database
@pytest.mark.parametrize(("path", "most"), [("/sessions/end-others", 6), ("/sessions/{}/end", 4)])
def test_ending_one_session_costs_four_queries_and_ending_all_others_six(here, phone, rows, statements, path, most):
    """All others are also the sign-ins that wait for a second step, and the browsers where it is skipped.

    One looks which apps have to be told.
    """
    here.fetch_csrf()
    path = path.format(session_id_of(rows, PHONE))
    with statements() as seen:
        here.post(path)
    assert len(seen) == most


@pytest.mark.one_database
def test_truncated_session_list_says_there_are_more(json_wire, ada, monkeypatch):
    monkeypatch.setattr("app.sessions.store.MAX_LISTED", 3)
    for _ in range(3):
        sign_in(json_wire.elsewhere(agent=PHONE), ada)
    answer = sign_in(json_wire, ada).get("/sessions").json
    assert answer["more"] is True
    assert answer["sessions"][0]["current"] is True
