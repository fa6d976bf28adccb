"""/us-refresh: a client stays signed in with single-use tokens; reuse of a copy ends the session for both."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from app import throttling
from app.audit import Event
from app.extensions import db
from app.sessions.models import AuthSession, RefreshToken
from tests.factories import People
from tests.signed_in import sign_in
from tests.sinks import code_in, denial_in
from tests.wire import Program

pytestmark = pytest.mark.both_databases

ASKING = "/us-signin?include_auth_token&include_refresh_token"
REFRESH = "/us-refresh"
DAY = 24 * 3600


@pytest.fixture
def ada(people):
    """Someone with two sign-in methods."""
    return people.open(email="ada@example.com", methods=["email", "authenticator"])


def enter(program, person) -> str:
    """Sign a program in, and return its refresh token."""
    user = program.post(ASKING, identity=person.email, passcode=person.app_code()).json["user"]
    program.token = user["authentication_token"]
    return str(user["refresh_token"])


@pytest.fixture
def refresh(program, ada) -> str:
    """The refresh token of a program that Ada has signed in to."""
    return enter(program, ada)


def renewed(program, refresh: str) -> str:
    """Exchange a refresh token; the program has the new access token then. Return the next refresh token."""
    answer = program.post(REFRESH, refresh_token=refresh)
    assert answer.status == 200, answer
    program.token = answer.json["user"]["authentication_token"]
    return str(answer.json["user"]["refresh_token"])


def test_refresh_returns_a_new_access_token_and_a_new_refresh_token(program, ada, refresh):
    old = program.token
    answer = program.post(REFRESH, refresh_token=refresh)
    user = answer.json["user"]
    assert answer.status == 200
    assert re.fullmatch(r"lkr_[0-9A-Za-z]{71}", user["refresh_token"])
    assert user["refresh_token"] != refresh
    assert (user["authentication_token"] != old, answer.json["expires_in"]) == (True, 900)
    program.token = user["authentication_token"]
    assert program.signed_in_as() == ada.email


def test_refresh_chain_ends_after_thirty_days(program, ada, refresh, clock):
    for _ in range(5):
        clock.shift(5.5 * DAY)
        refresh = renewed(program, refresh)
        assert program.signed_in_as() == ada.email
    clock.shift(2.6 * DAY)
    assert program.post(REFRESH, refresh_token=refresh).codes == ["refresh_token_invalid"]


@pytest.mark.parametrize(("age", "status"), [(7 * DAY - 5, 200), (7 * DAY + 5, 401)])
def test_unused_refresh_token_expires_after_seven_days(program, refresh, clock, age, status):
    clock.shift(age)
    assert program.post(REFRESH, refresh_token=refresh).status == status


@pytest.mark.parametrize("path", ["/us-signin?include_auth_token", "/us-signin?include_refresh_token", "/us-signin"])
def test_refresh_token_is_issued_only_with_both_query_parameters(program, ada, rows, path):
    answer = program.post(path, identity=ada.email, passcode=ada.app_code())
    assert "refresh_token" not in answer.json["user"]
    assert rows(RefreshToken) == []


def test_form_sign_in_gets_no_refresh_token(browser_wire, ada, rows):
    assert browser_wire.post(ASKING, identity=ada.email, passcode=ada.app_code()).ok
    assert rows(RefreshToken) == []


@pytest.mark.settings(refresh_tokens=False)
def test_disabled_refresh_tokens_are_neither_issued_nor_exchanged(make_app, program, ada):
    assert "refresh_token" not in program.post(ASKING, identity=ada.email, passcode=ada.app_code()).json["user"]
    given = enter(Program(make_app()), People(program.app).open("eve@example.com", methods=["authenticator"]))
    assert program.post(REFRESH, refresh_token=given).codes == ["refresh_token_invalid"]


def test_reused_refresh_token_revokes_the_session_and_notifies_the_owner(program, ada, refresh, rows, mail_to):
    newest = renewed(program, refresh)
    answer = program.post(REFRESH, refresh_token=refresh)
    assert (answer.status, answer.codes) == (401, ["refresh_token_reused"])
    assert program.signed_in_as() is None
    assert program.post(REFRESH, refresh_token=newest).codes == ["refresh_token_invalid"]
    assert [event.user_id for event in rows(Event, name="refresh.reused")] == [ada.id]
    assert "its refresh token was used twice" in mail_to(ada.email).text.replace("\n", " ")


def test_refresh_token_reuse_keeps_other_sessions(app, json_wire, ada, program, refresh, clock):
    clock.shift(31)
    other = Program(app)
    enter(other, ada)
    browser = sign_in(json_wire, ada)
    renewed(program, refresh)
    program.post(REFRESH, refresh_token=refresh)
    assert (other.signed_in_as(), browser.signed_in_as()) == (ada.email, ada.email)


def test_retry_after_a_lost_response_counts_as_reuse(program, refresh, clock):
    renewed(program, refresh)
    clock.shift(1)
    assert program.post(REFRESH, refresh_token=refresh).codes == ["refresh_token_reused"]


def test_reuse_notification_email_can_report_the_session(program, json_wire, ada, refresh, mail_to):
    renewed(program, refresh)
    program.post(REFRESH, refresh_token=refresh)
    assert json_wire.post(denial_in(mail_to(ada.email)), sure=True).ok


def test_concurrent_exchanges_succeed_once_and_revoke_the_session(app, ada, refresh, rows):
    programs = [Program(app) for _ in range(20)]
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda each: each.post(REFRESH, refresh_token=refresh), programs))
    assert sorted(answer.status for answer in answers) == [200, *[401] * 19]
    winner = next(answer.json["user"] for answer in answers if answer.ok)
    programs[0].token = winner["authentication_token"]
    assert programs[0].signed_in_as() is None
    assert programs[0].post(REFRESH, refresh_token=winner["refresh_token"]).status == 401
    assert len(rows(Event, name="refresh.reused")) == 1


@pytest.mark.parametrize("how", ["logout", "logout by refresh token", "an older one", "devices", "others", "disable"])
def test_ending_the_session_revokes_its_refresh_token(app, program, json_wire, ada, refresh, rows, how):
    newest = renewed(program, refresh)
    session_id = rows(RefreshToken)[0].session_id
    stranger = Program(app)
    end = {
        "logout": lambda: program.post("/logout"),
        "logout by refresh token": lambda: stranger.post("/logout", refresh_token=newest),
        "an older one": lambda: stranger.post("/logout", refresh_token=refresh),
        "devices": lambda: sign_in(json_wire, ada).post(f"/sessions/{session_id}/end"),
        "others": lambda: sign_in(json_wire, ada).post("/sessions/end-others"),
        "disable": lambda: app.test_cli_runner().invoke(args=["users", "disable", ada.email]),
    }
    end[how]()
    assert stranger.post(REFRESH, refresh_token=newest).codes == ["refresh_token_invalid"]
    assert program.signed_in_as() is None


def test_logout_with_an_invalid_refresh_token_succeeds(program, refresh):
    for token in ("", "x", refresh[:-1], "lkr_" + "0" * 71):
        assert program.post("/logout", refresh_token=token).status == 200
        program.token = None
    assert program.post(REFRESH, refresh_token=refresh).status == 401


def test_logout_with_another_sessions_refresh_token_ends_both_sessions(json_wire, program, people, refresh):
    eve = sign_in(json_wire, people.open(email="eve@example.com"))
    assert eve.post("/logout", refresh_token=refresh).ok
    assert (eve.signed_in_as(), program.signed_in_as()) == (None, None)


def test_refresh_does_not_count_as_reauthentication(program, refresh, clock):
    assert program.get("/us-setup").status == 200
    clock.shift(290)
    refresh = renewed(program, refresh)
    assert program.get("/us-setup").status == 200
    clock.shift(20)
    assert program.get("/us-setup").codes == ["reauthentication_required"]
    renewed(program, refresh)
    assert program.get("/us-setup").codes == ["reauthentication_required"]


def test_browser_reauthentication_does_not_extend_to_refreshed_tokens(json_wire, program, ada, clock):
    answer = json_wire.post(ASKING, identity=ada.email, passcode=ada.app_code())
    refresh = answer.json["user"]["refresh_token"]
    clock.shift(400)
    assert json_wire.post("/us-verify", passcode=ada.app_code()).ok
    renewed(program, refresh)
    assert program.get("/us-setup").codes == ["reauthentication_required"]


def test_reauthentication_replaces_the_refresh_token(program, ada, refresh, clock):
    clock.shift(400)
    old = renewed(program, refresh)
    answer = program.post("/us-verify?include_auth_token&include_refresh_token", passcode=ada.app_code())
    newest = answer.json["user"]["refresh_token"]
    assert program.post(REFRESH, refresh_token=old).codes == ["refresh_token_invalid"]
    renewed(program, newest)
    assert program.get("/us-setup").status == 200


@pytest.mark.parametrize("token", ["", "lkr_", "lkr_" + "0" * 71, "x" * 5000, "é" * 75, 5, 1.5, True, None, ["a"], {}])
@pytest.mark.one_database
def test_malformed_refresh_token_is_rejected(program, token):
    assert program.post(REFRESH, refresh_token=token).status in (400, 401)


def test_altered_refresh_token_is_rejected_without_revoking_the_session(program, ada, refresh):
    for place in (0, 4, 30, 60, 74):
        other = "a" if refresh[place] != "a" else "b"
        answer = program.post(REFRESH, refresh_token=refresh[:place] + other + refresh[place + 1 :])
        assert answer.codes == ["refresh_token_invalid"]
    assert program.signed_in_as() == ada.email
    renewed(program, refresh)


def test_access_and_refresh_tokens_are_not_interchangeable(program, ada, refresh):
    assert program.post(REFRESH, refresh_token=program.token).status == 401
    program.token = refresh
    assert program.get("/").status == 401


def test_refresh_accepts_only_json_and_sets_no_cookies(browser_wire, app, refresh):
    assert browser_wire.post(REFRESH, refresh_token=refresh).status == 415
    answer = app.test_client().post(REFRESH, json={"refresh_token": refresh})
    assert (answer.status_code, answer.headers.getlist("Set-Cookie")) == (200, [])
    assert browser_wire.get(REFRESH).location == "/", "it has no page of its own"


def test_refresh_with_a_session_cookie_requires_csrf_and_ignores_the_session(json_wire, people, ada, program, refresh):
    eve = sign_in(json_wire, people.open(email="eve@example.com"))
    assert eve.post(REFRESH, refresh_token=refresh, csrf=None).codes == ["csrf_token_missing"]
    program.token = eve.post(REFRESH, refresh_token=refresh).json["user"]["authentication_token"]
    assert program.signed_in_as() == ada.email


@pytest.mark.settings(failures_per_address=3)
def test_invalid_refresh_tokens_are_rate_limited_per_ip_address(app, program, refresh):
    codes = [program.post(REFRESH, refresh_token="lkr_" + "0" * 71).codes for _ in range(5)]
    assert codes == [["refresh_token_invalid"]] * 3 + [["too_many_requests"]] * 2
    program.address = "203.0.113.5"
    renewed(program, refresh)


def test_not_me_penalty_does_not_block_refresh_from_the_same_ip_address(app, program, ada, refresh):
    with app.app_context():
        throttling.penalize("127.0.0.1")
        db.session.commit()
    renewed(program, refresh)
    program.token = ""
    assert program.post("/us-signin/send-code", identity=ada.email, chosen_method="email").status == 429


@pytest.mark.settings(exchanges_per_address=2)
def test_rate_limited_refresh_does_not_consume_the_token(program, refresh, clock):
    for _ in range(2):
        refresh = renewed(program, refresh)
    answer = program.post(REFRESH, refresh_token=refresh)
    assert (answer.status, int(answer.headers["Retry-After"]) > 0) == (429, True)
    program.address = "203.0.113.5"
    renewed(program, refresh)


def test_refresh_token_is_not_stored_in_plain_text(program, refresh, database, rows):
    newest = renewed(program, refresh)
    row = rows(RefreshToken)[0]
    kept = f"{row.id} {row.digest} {row.session_id}"
    assert not [part for token in (refresh, newest) for part in (token, token[4:26], token[26:69]) if part in kept]


def test_refresh_takes_three_statements(program, refresh, statements):
    with statements() as seen:
        program.post(REFRESH, refresh_token=refresh)
    assert len(seen) == 3


def test_sessions_list_shows_refresh_token_of_an_idle_session(json_wire, program, ada, refresh, clock):
    clock.shift(5 * DAY)
    renewed(program, refresh)
    clock.shift(5 * DAY)
    listed = sign_in(json_wire, ada).get("/sessions").json["sessions"]
    given = [session["refresh"] for session in listed if session["refresh"]]
    assert [set(each) for each in given] == [{"last_used_at", "expires_at"}]


def test_sessions_page_shows_that_an_app_stays_signed_in(browser_wire, ada, refresh):
    assert "An app stays signed in here" in sign_in(browser_wire, ada).get("/sessions").text


def test_aal2_drops_to_aal1_if_the_token_is_not_refreshed_within_an_hour(program, ada, refresh, clock, database):
    database.query("UPDATE refresh_token SET second_at = authenticated_at RETURNING id")
    database.disconnect()
    clock.shift(3500)
    refresh = renewed(program, refresh)
    assert program.get("/").json["aal"] == 2
    clock.shift(3700)
    refresh = renewed(program, refresh)
    assert program.get("/").json["aal"] == 1
    renewed(program, refresh)
    assert program.get("/").json["aal"] == 1


def test_access_token_issued_while_the_session_ended_is_rejected(app, program, refresh, clock):
    """The row that an exchange adds while another request ends the session is one which that request does not see."""
    from app.extensions import db

    program.post("/logout")
    with app.app_context():
        missed = AuthSession.__table__.update().where(AuthSession.kind == "program")
        db.session.execute(missed.values(revoked_at=None, expires_at=clock.now() + timedelta(minutes=15)))
        db.session.commit()
    assert program.signed_in_as() is None


def test_refresh_token_is_never_logged(program, ada, capfd, caplog):
    from app.observability import configure_logging

    configure_logging("debug", "json")
    caplog.set_level("DEBUG")
    first = enter(program, ada)
    second = renewed(program, first)
    program.post(REFRESH, refresh_token=first)
    program.post("/logout", refresh_token=second)
    said = repr([[record.getMessage() for record in caplog.records], capfd.readouterr()])
    configure_logging("critical", "json")
    assert "us-refresh" in said
    assert not [part for token in (first, second) for part in (token, token[4:26], token[26:69]) if part in said]


def test_deleting_the_user_row_deletes_its_refresh_tokens(ada, refresh, rows, database):
    if database.kind == "sqlite":
        database._connection.execute("PRAGMA foreign_keys = ON")
    else:
        database._connection.execute("SET session_replication_role = origin")
    database._connection.execute(f'DELETE FROM "user" WHERE id = {ada.id}')
    database.disconnect()
    assert rows(RefreshToken) == []


def test_account_scheduled_for_deletion_cannot_refresh(app, program, ada, refresh):
    from app import clock
    from app.extensions import db, execute_update
    from app.users import User

    with app.app_context():
        execute_update(User.__table__.update().where(User.id == ada.id).values(deletes_at=clock.now()))
        db.session.commit()
    assert program.post(REFRESH, refresh_token=refresh).codes == ["refresh_token_invalid"]


def test_refresh_token_issued_after_second_factor_keeps_aal2_for_an_hour(program, bob, mail_to, clock):
    challenge = program.post("/us-signin/send-code", identity=bob.email, chosen_method="email").json["challenge"]
    first = {"identity": bob.email, "passcode": code_in(mail_to(bob.email)), "challenge": challenge}
    told = program.post(ASKING, **first).json
    assert "user" not in told
    query = "?include_auth_token&include_refresh_token"
    given = program.post(f"/tf-validate{query}", code=bob.app_code(), pending=told["pending"]).json["user"]
    refresh = renewed(program, given["refresh_token"])
    assert program.get("/").json["aal"] == 2
    clock.shift(3700)
    renewed(program, refresh)
    assert program.get("/").json["aal"] == 1
