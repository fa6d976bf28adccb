"""Two servers on one database: of concurrent requests one succeeds, and a failed commit has no effect."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from app.audit import Event
from app.oidc.models import AccessToken, Grant
from tests.oidc import RelyingParty

pytestmark = pytest.mark.both_databases


@pytest.fixture
def servers(grafana, make_app, app) -> list[RelyingParty]:
    """The same app at two servers, which share nothing but the database."""
    other = make_app(pool_size=3)
    assert other is not app
    return [grafana, RelyingParty(other, grafana.id, grafana.secret)]


@pytest.fixture
def failing_commit(app, monkeypatch):
    """Makes the next commit fail, as when the database stops."""

    def arm() -> None:
        from app.extensions import db

        def fails() -> None:
            monkeypatch.undo()
            raise sa.exc.OperationalError("COMMIT", {}, Exception("server closed the connection"), True)

        monkeypatch.setattr(db.session, "commit", fails)

    return arm


def at_once(servers, ask, count: int = 20) -> list:
    """Have both servers answer as many requests, all begun together."""
    begin = threading.Barrier(count)

    def one(number: int):
        begin.wait(10)
        return ask(servers[number % 2])

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_concurrent_code_exchanges_across_servers_succeed_once(servers, browser, rows):
    code = servers[0].code(browser)
    servers[1].verifier = servers[0].verifier
    answers = at_once(servers, lambda rp: rp.exchange(code))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 19
    assert {answer.json["error"] for answer in answers if answer.status_code == 400} == {"invalid_grant"}
    assert len(rows(AccessToken)) == 1
    assert len(rows(Event, name="app.token_reused")) == 1


def test_concurrent_refreshes_across_servers_yield_one_successor(servers, browser, rows):
    token = servers[0].tokens(browser)["refresh_token"]
    answers = at_once(servers, lambda rp: rp.refresh(token))
    assert len({answer.json["refresh_token"] for answer in answers if answer.status_code == 200}) == 1
    assert {answer.status_code for answer in answers} == {200, 400}
    assert len(rows(Event, name="app.token_reused")) == 1


def test_concurrent_consents_across_servers_redirect_with_one_code(app, make_app, browser, rows):
    from tests.oidc import register
    from tests.wire import Wire

    asking = register(app, "immich", consent="ask")
    page = browser.get(asking.request())
    fields = {"csrf_token": page.csrf_token, "request": page.page.value("request"), "allow": "yes"}
    wires = [browser, Wire(make_app(pool_size=3), "form")]
    cookie = browser.client.get_cookie("latchkey_session").value
    clients = []
    for number in range(12):
        client = wires[number % 2].app.test_client()
        client.set_cookie("latchkey_session", cookie)
        clients.append(client)
    turns = iter(range(12))
    answers = at_once([0, 1], lambda _: clients[next(turns)].post("/oauth/consent", data=fields), 12)
    assert [answer.status_code for answer in answers] == [303] * 12
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert len(rows(Grant)) == 1


def test_revocation_takes_effect_on_other_servers_at_once(servers, browser):
    tokens = servers[0].tokens(browser)
    assert servers[1].userinfo(tokens["access_token"]).status_code == 200
    servers[0].post("/oauth/revoke", token=tokens["refresh_token"])
    assert servers[1].userinfo(tokens["access_token"]).status_code == 401
    assert servers[1].refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"


def test_failed_commit_does_not_spend_the_code(grafana, browser, failing_commit, rows):
    code = grafana.code(browser)
    failing_commit()
    answer = grafana.exchange(code)
    assert (answer.status_code, answer.json["error"]) == (503, "temporarily_unavailable")
    assert answer.headers["Retry-After"] == "2"
    assert (rows(AccessToken), [grant.code_used_at for grant in rows(Grant)]) == ([], [None])
    tokens = grafana.exchange(code).json
    assert grafana.userinfo(tokens["access_token"]).status_code == 200
    assert grafana.exchange(code).json["error"] == "invalid_grant"


def test_failed_commit_does_not_rotate_the_refresh_token(grafana, browser, failing_commit):
    token = grafana.tokens(browser)["refresh_token"]
    failing_commit()
    assert grafana.refresh(token).status_code == 503
    successor = grafana.refresh(token).json["refresh_token"]
    assert grafana.refresh(successor).status_code == 200


def test_failed_commit_issues_no_code(grafana, browser, failing_commit, rows):
    failing_commit()
    answer = browser.client.get(grafana.request())
    assert (answer.status_code, answer.headers.get("Location")) == (503, None)
    assert rows(Grant) == []
    assert grafana.code(browser)


def test_failed_commit_of_a_revocation_returns_503_and_revokes_nothing(grafana, browser, failing_commit):
    tokens = grafana.tokens(browser)
    failing_commit()
    assert grafana.post("/oauth/revoke", token=tokens["refresh_token"]).status_code == 503
    assert grafana.userinfo(tokens["access_token"]).status_code == 200
