"""Refresh tokens rotate; tokens are revoked and asked about; each request takes few statements."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.oidc import ISSUER, register

pytestmark = pytest.mark.both_databases


def test_a_refresh_token_is_replaced_and_brings_a_new_id_token(grafana, browser):
    first = grafana.tokens(browser, scope="openid email")
    second = grafana.refresh(first["refresh_token"]).json
    assert second["refresh_token"] != first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    before, after = grafana.claims(first["id_token"]), grafana.claims(second["id_token"])
    assert {name: after[name] for name in ("iss", "sub", "aud", "auth_time", "sid")} == {
        name: before[name] for name in ("iss", "sub", "aud", "auth_time", "sid")
    }
    assert "nonce" not in after
    assert grafana.userinfo(second["access_token"]).status_code == 200
    assert grafana.refresh(second["refresh_token"]).status_code == 200


def test_a_lost_answer_is_given_again_a_few_times(grafana, browser):
    first = grafana.tokens(browser)
    answers = [grafana.refresh(first["refresh_token"]) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len({answer.json["refresh_token"] for answer in answers}) == 1
    assert grafana.refresh(first["refresh_token"]).json["error"] == "invalid_grant"
    assert grafana.refresh(answers[0].json["refresh_token"]).json["error"] == "invalid_grant"


def test_a_refresh_token_that_is_used_again_later_ends_the_grant(grafana, browser, clock, rows):
    from app.audit import Event

    first = grafana.tokens(browser)
    second = grafana.refresh(first["refresh_token"]).json
    clock.shift(31)
    assert grafana.refresh(first["refresh_token"]).json["error"] == "invalid_grant"
    assert grafana.refresh(second["refresh_token"]).json["error"] == "invalid_grant"
    assert grafana.userinfo(second["access_token"]).status_code == 401
    assert [event.facts["client"] for event in rows(Event, name="app.token_reused")] == ["grafana"]


def test_an_older_refresh_token_ends_the_grant_at_once(grafana, browser):
    first = grafana.tokens(browser)
    second = grafana.refresh(first["refresh_token"]).json
    third = grafana.refresh(second["refresh_token"]).json
    assert grafana.refresh(first["refresh_token"]).json["error"] == "invalid_grant"
    assert grafana.refresh(third["refresh_token"]).json["error"] == "invalid_grant"


def test_a_refresh_token_of_another_client_is_refused_and_stays_good(app, grafana, browser):
    tokens = grafana.tokens(browser)
    assert register(app, "gitea").refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"
    assert grafana.refresh(tokens["refresh_token"]).status_code == 200


def test_fewer_scopes_can_be_asked_for_and_not_more(grafana, browser, clock):
    tokens = grafana.tokens(browser, scope="openid email")
    more = grafana.refresh(tokens["refresh_token"], scope="openid groups")
    assert (more.status_code, more.json["error"]) == (400, "invalid_scope")
    clock.shift(31)  # the refusal has spent nothing, of which a copy would be accused
    fewer = grafana.refresh(tokens["refresh_token"], scope="openid").json
    assert fewer["scope"] == "openid"
    assert "email" not in grafana.userinfo(fewer["access_token"]).json


def test_forty_uses_of_a_code_at_once_give_one_set_of_tokens(grafana, browser):
    code = grafana.code(browser)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: grafana.exchange(code), range(40)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 39
    (tokens,) = [answer.json for answer in answers if answer.status_code == 200]
    assert grafana.userinfo(tokens["access_token"]).status_code == 401


def test_forty_uses_of_a_refresh_token_at_once_give_one_successor_and_end_it(grafana, browser, rows):
    from app.audit import Event

    tokens = grafana.tokens(browser)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: grafana.refresh(tokens["refresh_token"]), range(40)))
    won = {answer.json["refresh_token"] for answer in answers if answer.status_code == 200}
    assert len(won) == 1
    assert grafana.refresh(won.pop()).json["error"] == "invalid_grant"
    assert len(rows(Event, name="app.token_reused")) == 1


def test_a_revoked_access_token_is_dead_and_its_refresh_token_is_not(grafana, browser):
    tokens = grafana.tokens(browser)
    assert grafana.post("/oauth/revoke", token=tokens["access_token"]).status_code == 200
    assert grafana.userinfo(tokens["access_token"]).status_code == 401
    assert grafana.refresh(tokens["refresh_token"]).status_code == 200


def test_a_revoked_refresh_token_takes_everything_with_it(grafana, browser):
    tokens = grafana.tokens(browser)
    assert (
        grafana.post("/oauth/revoke", token=tokens["refresh_token"], token_type_hint="access_token").status_code == 200
    )
    assert grafana.userinfo(tokens["access_token"]).status_code == 401
    assert grafana.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"


def test_nobody_revokes_the_tokens_of_another_client(app, grafana, browser):
    tokens = grafana.tokens(browser)
    other = register(app, "gitea")
    for name in ("access_token", "refresh_token"):
        assert other.post("/oauth/revoke", token=tokens[name]).status_code == 200
    assert grafana.userinfo(tokens["access_token"]).status_code == 200
    assert grafana.refresh(tokens["refresh_token"]).status_code == 200


def test_a_service_asks_about_a_token(app, grafana, browser, clock):
    tokens = grafana.tokens(browser, scope="openid email")
    facts = grafana.post("/oauth/introspect", token=tokens["access_token"]).json
    assert facts["active"] is True
    assert (facts["client_id"], facts["scope"], facts["iss"]) == ("grafana", "openid email", ISSUER)
    assert facts["sub"] == grafana.claims(tokens["id_token"])["sub"]
    assert facts["exp"] - facts["iat"] == tokens["expires_in"]
    assert register(app, "gitea").post("/oauth/introspect", token=tokens["access_token"]).json == {"active": False}
    api = register(app, "api", introspects=True)
    assert api.post("/oauth/introspect", token=tokens["access_token"]).json["active"] is True
    assert register(app, "spa", public=True).post("/oauth/introspect", token=tokens["access_token"]).status_code == 403
    clock.shift(3601)
    assert api.post("/oauth/introspect", token=tokens["access_token"]).json == {"active": False}
    assert api.post("/oauth/introspect", token="lka_nothing").json == {"active": False}


def test_a_jwt_access_token_says_what_a_service_needs_and_is_revoked_here(app, browser):
    rp = register(app, "api-client", access_token="jwt", resources=["https://api.example.com"])
    tokens = rp.tokens(browser, scope="openid email", resource="https://api.example.com")
    claims = rp.claims(tokens["access_token"])
    assert (claims["iss"], claims["aud"], claims["client_id"]) == (ISSUER, "https://api.example.com", "api-client")
    assert claims["exp"] - claims["iat"] == tokens["expires_in"] == 300
    assert rp.userinfo(tokens["access_token"]).status_code == 200
    rp.post("/oauth/revoke", token=tokens["access_token"])
    assert rp.userinfo(tokens["access_token"]).status_code == 401


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_each_algorithm_is_signed_with_for_a_client_that_wants_it(app, browser, alg):
    rp = register(app, f"client-{alg}", id_token_alg=alg)
    assert rp.claims(rp.tokens(browser)["id_token"])["aud"] == f"client-{alg}"


def test_pairwise_names_differ_by_client(app, grafana, browser):
    one = register(app, "one", subject="pairwise")
    two = register(app, "two", subject="pairwise", redirect_uris=["https://two.example.com/cb"])
    names = [rp.claims(rp.tokens(browser)["id_token"])["sub"] for rp in (grafana, one, two)]
    assert len(set(names)) == 3
    again = one.tokens(browser)
    assert one.claims(again["id_token"])["sub"] == names[1] == one.userinfo(again["access_token"]).json["sub"]


def test_each_request_takes_few_statements(app, grafana, browser, statements):
    tokens = grafana.tokens(browser, scope="openid email groups")
    grafana.claims(grafana.tokens(browser)["id_token"])  # from now on this process knows all keys
    with statements() as counted:
        grafana.userinfo(tokens["access_token"])
    assert len(counted) == 1, counted
    code = grafana.code(browser)
    with statements() as counted:
        grafana.exchange(code)
    assert len(counted) <= 4, counted
    with statements() as counted:
        grafana.refresh(tokens["refresh_token"])
    assert len(counted) <= 4, counted
    with statements() as counted:
        grafana.post("/oauth/introspect", token=tokens["access_token"])
    assert len(counted) <= 2, counted
    with statements() as counted:
        grafana.code(browser, prompt="none")
    assert len(counted) <= 4, counted
