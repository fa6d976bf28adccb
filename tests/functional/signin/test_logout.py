"""POST /logout."""

from __future__ import annotations

import pytest

from app.audit import Event


def test_json_logout_returns_an_empty_response(json_wire, ada, sign_in):
    answer = sign_in(ada.email, by=json_wire).post("/logout")
    assert answer.response.get_json() == {"meta": {"code": 200}, "response": {}}
    assert json_wire.signed_in_as() is None


def test_browser_logout_redirects_to_home_with_a_notice(browser_wire, ada, sign_in):
    answer = sign_in(ada.email, by=browser_wire).post("/logout")
    assert (answer.status, answer.location) == (302, "/")
    assert browser_wire.signed_in_as() is None
    assert browser_wire.follow(browser_wire.follow(answer)).page.notices[0][0] == "success"


def test_logout_is_audited_and_clears_site_data(wire, ada, sign_in, rows):
    answer = sign_in(ada.email).post("/logout")
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert [event.user_id for event in rows(Event, name="session.ended")] == [ada.id]


def test_repeated_browser_logout_is_idempotent(browser_wire, ada, sign_in, rows):
    sign_in(ada.email, by=browser_wire)
    token, cookie = browser_wire.fetch_csrf(), browser_wire.client.get_cookie("latchkey_session").value
    for _ in range(2):
        answer = browser_wire.post("/logout", csrf=token)
        assert (answer.status, answer.location) == (302, "/")
        browser_wire.client.set_cookie("latchkey_session", cookie)
    assert len(rows(Event, name="session.ended")) == 1
    assert browser_wire.post("/logout", csrf=token, headers={"Origin": "https://evil.example"}).status == 400


def test_logout_without_a_session_succeeds_and_is_not_audited(wire, rows):
    answer = wire.post("/logout")
    assert answer.status == (302 if wire.language == "form" else 200)
    assert rows(Event, name="session.ended") == []


@pytest.mark.parametrize(("carrier", "location"), [("field", "/us-signin"), ("query", "/us-signin")])
@pytest.mark.one_database
def test_logout_redirects_to_next(browser_wire, ada, sign_in, carrier, location):
    sign_in(ada.email, by=browser_wire)
    path = "/logout?next=/us-signin" if carrier == "query" else "/logout"
    fields = {"next": "/us-signin"} if carrier == "field" else {}
    assert browser_wire.post(path, **fields).location == location


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/\\evil.example"])
@pytest.mark.one_database
def test_logout_ignores_next_on_a_foreign_host(wire, ada, sign_in, target):
    sign_in(ada.email)
    answer = wire.post("/logout", next=target)
    assert (answer.ok, answer.location or "/") == (True, "/")
    assert wire.signed_in_as() is None
    assert wire.send("POST", "/logout", query_string={"next": target}, data={}).location is None


@pytest.mark.settings(post_logout_url="/us-signin")
def test_post_logout_url_setting_sets_the_redirect(browser_wire, ada, sign_in):
    assert sign_in(ada.email, by=browser_wire).post("/logout").location == "/us-signin"


@pytest.mark.parametrize("csrf", [None, "", "nonsense", "AAAAAAAAAAAAAAAAAAAA"])
@pytest.mark.one_database
def test_logout_without_valid_csrf_token_is_rejected(wire, ada, sign_in, csrf):
    sign_in(ada.email)
    answer = wire.post("/logout", csrf=csrf)
    assert answer.status == 400
    assert answer.codes[0].startswith("csrf_")
    assert wire.signed_in_as() == ada.email


@pytest.mark.parametrize("language", ["form"])  # JSON needs none
def test_csrf_token_of_an_ended_session_is_rejected(wire, ada, sign_in):
    sign_in(ada.email)
    token = wire.fetch_csrf()
    wire.post("/logout", csrf=token)
    answer = wire.post("/us-signin", csrf=token, identity=ada.email, passcode="00000000")
    assert (answer.status, answer.codes) == (400, ["csrf_token_invalid"])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_get_and_head_do_not_log_out(wire, ada, sign_in, method):
    sign_in(ada.email)
    assert wire.send(method, "/logout").status == (405 if wire.language == "json" else 302)
    assert wire.signed_in_as() == ada.email
