"""API tokens: only the endpoints of their scopes accept them; all others reject them by default."""

from __future__ import annotations

import pytest

from app import user_agents
from app.errors import ReauthenticationRequired
from app.sessions.models import ApiToken, AuthSession
from tests.signed_in import give_token, sign_in
from tests.wire import Program

pytestmark = pytest.mark.one_database


@pytest.fixture
def ada(people):
    """Someone with two sign-in methods."""
    return people.open(email="ada@example.com", methods=["email", "authenticator"])


@pytest.fixture
def token(app, json_wire, ada):
    """Creates an API client with a token of Ada's with these scopes."""

    def made(*scopes: str) -> Program:
        program = Program(app)
        wanted = {"name": "x", "scopes": list(scopes), "expires_in_days": 90}
        program.token = sign_in(json_wire.elsewhere(), ada).post("/tokens", **wanted).json["token"]
        return program

    return made


@pytest.mark.parametrize("path", ["/", "/us-signin", "/login", "/sessions", "/activity"])
def test_read_scope_allows_viewing(token, path):
    assert token("read").get(path).status == 200


@pytest.mark.parametrize("path", ["/", "/sessions", "/activity"])
def test_manage_scope_alone_does_not_allow_reading(token, path):
    answer = token("manage").get(path)
    assert (answer.status, answer.codes, answer.json["scope"]) == (403, ["scope_missing"], "read")


def test_manage_scope_ends_sessions(token, wire, ada, rows):
    browser = sign_in(wire, ada)
    program = token("manage")
    session_id = next(
        row.session_id for row in rows(AuthSession, kind="browser") if row.agent == user_agents.label(browser.agent)
    )
    assert program.post(f"/sessions/{session_id}/end").json["ended"] == 2
    assert browser.signed_in_as() is None


def test_manage_scope_ends_all_other_sessions(token, wire, ada):
    browser = sign_in(wire, ada)
    assert token("manage").post("/sessions/end-others").ok
    assert browser.signed_in_as() is None


def test_read_scope_cannot_end_sessions(token, wire, ada):
    browser = sign_in(wire, ada)
    answer = token("read").post("/sessions/end-others")
    assert (answer.status, answer.json["scope"]) == (403, "manage")
    assert browser.signed_in_as() == ada.email


@pytest.mark.parametrize("path", ["/us-setup", "/us-verify", "/tokens"])
def test_api_token_is_rejected_where_reauthentication_is_required(token, path):
    program = token("read", "manage")
    assert [program.get(path).codes, program.post(path).codes] == [["token_not_accepted"]] * 2


def test_api_token_never_counts_as_fresh_even_without_enrolled_methods(app, token, people, database):
    from app.login import freshness
    from app.sessions import api_tokens

    program = token("read")
    database.query("DELETE FROM enrolled_method RETURNING id")
    database.disconnect()
    with app.test_request_context():
        found = api_tokens.find(program.token)
        with pytest.raises(ReauthenticationRequired):
            freshness.require_fresh(api_tokens.session_for(found[0]))


def test_api_token_cannot_create_other_tokens(token, rows):
    program = token("read", "manage")
    assert program.post("/tokens", name="y", scopes=["read"], expires_in_days=1).status == 403
    assert program.post("/us-verify?include_auth_token", passcode="00000000").status == 403
    assert len(rows(ApiToken)) == 1


def test_api_token_cannot_sign_in_or_out(token, ada):
    program = token("read", "manage")
    for path in ("/us-signin", "/us-signin/send-code", "/logout", "/register"):
        assert program.post(path, identity=ada.email, passcode=ada.app_code()).status == 403
    assert program.signed_in_as() == ada.email


def test_missing_scope_error_is_html_if_html_is_accepted(token):
    answer = token("manage").get("/sessions", Accept="text/html")
    assert answer.status == 403
    assert "This token lacks the scope read." in answer.text


def test_invalid_api_token_is_anonymous(token, ada):
    program = token("read")
    program.token = f"{program.token[:-1]}{'a' if program.token[-1] != 'a' else 'b'}"
    assert program.get("/").status == 401
    assert program.post("/us-signin", identity=ada.email, passcode=ada.app_code()).status == 200


@pytest.mark.parametrize("change", [str.lower, lambda text: text[:-1], lambda text: text + "0", lambda text: text[4:]])
def test_altered_api_token_is_rejected_without_extra_lookup(token, statements, change):
    program = token("read")
    program.token = change(program.token)
    with statements() as seen:
        assert program.get("/").status == 401
    assert len(seen) <= 1


@pytest.mark.parametrize("headers", [{"Authorization": "Basic {}"}, {"Cookie": "latchkey_session={}"}])
def test_api_token_is_ignored_in_basic_auth_and_session_cookie(app, token, headers):
    carried = {name: value.format(token("read").token) for name, value in headers.items()}
    assert Program(app).get("/", **carried).status == 401


def test_api_token_takes_precedence_over_cookie_and_requires_no_csrf_token(token, json_wire, people):
    browser = sign_in(json_wire, people.open(email="eve@example.com"))
    program = token("read")
    assert browser.get("/", headers={"Authentication-Token": program.token}).json["user"]["email"] == "ada@example.com"
    manage = {"Authentication-Token": token("manage").token}
    assert browser.post("/sessions/end-others", csrf=None, headers=manage).ok
    assert browser.get("/").ok, "hers goes on: the token's owner was meant"


def test_api_token_check_costs_one_query_and_one_update_a_minute(token, statements, clock):
    program = token("read")

    def cost() -> int:
        with statements() as seen:
            assert program.get("/us-signin").json["user"]
        return len(seen)

    assert [cost(), cost()] == [2, 1]
    clock.shift(61)
    assert [cost(), cost()] == [2, 1]


def test_owner_sees_when_and_from_where_a_token_was_last_used(token, json_wire, ada, clock):
    program = token("read")
    program.address = "203.0.113.7"
    program.get("/")
    listed = sign_in(json_wire, ada).get("/tokens").json["tokens"][0]
    assert listed["last_used_address"] == "203.0.113.7"
    assert listed["last_used_at"] is not None


def test_session_and_access_token_checks_cost_one_query_each(json_wire, program, ada, statements):
    sign_in(json_wire, ada)
    give_token(program, ada)
    with statements() as seen:
        json_wire.get("/us-signin")
        program.get("/us-signin")
    assert len(seen) == 2
