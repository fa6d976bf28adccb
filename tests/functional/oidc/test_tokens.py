"""Refresh token rotation, revocation, introspection, and the number of statements of each request."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.oidc import ISSUER, register

pytestmark = pytest.mark.both_databases


def test_refresh_rotates_tokens_and_returns_a_new_id_token(grafana, browser):
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


def test_refresh_retry_returns_the_same_successor_a_few_times(grafana, browser):
    first = grafana.tokens(browser)
    answers = [grafana.refresh(first["refresh_token"]) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len({answer.json["refresh_token"] for answer in answers}) == 1
    assert grafana.refresh(first["refresh_token"]).json["error"] == "invalid_grant"
    assert grafana.refresh(answers[0].json["refresh_token"]).json["error"] == "invalid_grant"


def test_late_refresh_token_reuse_revokes_the_grant(grafana, browser, clock, rows):
    from app.audit import Event

    first = grafana.tokens(browser)
    second = grafana.refresh(first["refresh_token"]).json
    clock.shift(31)
    assert grafana.refresh(first["refresh_token"]).json["error"] == "invalid_grant"
    assert grafana.refresh(second["refresh_token"]).json["error"] == "invalid_grant"
    assert grafana.userinfo(second["access_token"]).status_code == 401
    assert [event.facts["client"] for event in rows(Event, name="app.token_reused")] == ["grafana"]


def test_reuse_of_an_older_refresh_token_revokes_the_grant_at_once(grafana, browser):
    first = grafana.tokens(browser)
    second = grafana.refresh(first["refresh_token"]).json
    third = grafana.refresh(second["refresh_token"]).json
    assert grafana.refresh(first["refresh_token"]).json["error"] == "invalid_grant"
    assert grafana.refresh(third["refresh_token"]).json["error"] == "invalid_grant"


def test_refresh_token_of_another_client_is_rejected_and_not_spent(app, grafana, browser):
    tokens = grafana.tokens(browser)
    assert register(app, "gitea").refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"
    assert grafana.refresh(tokens["refresh_token"]).status_code == 200


def test_refresh_can_narrow_but_not_widen_the_scope(grafana, browser, clock):
    tokens = grafana.tokens(browser, scope="openid email")
    more = grafana.refresh(tokens["refresh_token"], scope="openid groups")
    assert (more.status_code, more.json["error"]) == (400, "invalid_scope")
    clock.shift(31)  # the refusal has spent nothing, of which a copy would be accused
    fewer = grafana.refresh(tokens["refresh_token"], scope="openid").json
    assert fewer["scope"] == "openid"
    assert "email" not in grafana.userinfo(fewer["access_token"]).json


def test_concurrent_code_exchanges_yield_one_token_set_and_revoke_it(grafana, browser):
    code = grafana.code(browser)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: grafana.exchange(code), range(40)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 39
    (tokens,) = [answer.json for answer in answers if answer.status_code == 200]
    assert grafana.userinfo(tokens["access_token"]).status_code == 401


def test_concurrent_refreshes_yield_one_successor_and_revoke_it(grafana, browser, rows):
    from app.audit import Event

    tokens = grafana.tokens(browser)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: grafana.refresh(tokens["refresh_token"]), range(40)))
    won = {answer.json["refresh_token"] for answer in answers if answer.status_code == 200}
    assert len(won) == 1
    assert grafana.refresh(won.pop()).json["error"] == "invalid_grant"
    assert len(rows(Event, name="app.token_reused")) == 1


def test_revoking_an_access_token_keeps_the_refresh_token(grafana, browser):
    tokens = grafana.tokens(browser)
    assert grafana.post("/oauth/revoke", token=tokens["access_token"]).status_code == 200
    assert grafana.userinfo(tokens["access_token"]).status_code == 401
    assert grafana.refresh(tokens["refresh_token"]).status_code == 200


def test_revoking_a_refresh_token_revokes_the_access_token(grafana, browser):
    tokens = grafana.tokens(browser)
    assert (
        grafana.post("/oauth/revoke", token=tokens["refresh_token"], token_type_hint="access_token").status_code == 200
    )
    assert grafana.userinfo(tokens["access_token"]).status_code == 401
    assert grafana.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"


def test_client_cannot_revoke_tokens_of_another_client(app, grafana, browser):
    tokens = grafana.tokens(browser)
    other = register(app, "gitea")
    for name in ("access_token", "refresh_token"):
        assert other.post("/oauth/revoke", token=tokens[name]).status_code == 200
    assert grafana.userinfo(tokens["access_token"]).status_code == 200
    assert grafana.refresh(tokens["refresh_token"]).status_code == 200


def test_introspection_is_limited_to_own_client_and_introspecting_services(app, grafana, browser, clock):
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


def test_jwt_access_token_has_required_claims_and_can_be_revoked(app, browser):
    rp = register(app, "api-client", access_token="jwt", resources=["https://api.example.com"])
    tokens = rp.tokens(browser, scope="openid email", resource="https://api.example.com")
    claims = rp.claims(tokens["access_token"])
    assert (claims["iss"], claims["aud"], claims["client_id"]) == (ISSUER, "https://api.example.com", "api-client")
    assert claims["exp"] - claims["iat"] == tokens["expires_in"] == 300
    assert rp.userinfo(tokens["access_token"]).status_code == 200
    rp.post("/oauth/revoke", token=tokens["access_token"])
    assert rp.userinfo(tokens["access_token"]).status_code == 401


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_id_token_is_signed_with_the_clients_algorithm(app, browser, alg):
    rp = register(app, f"client-{alg}", id_token_alg=alg)
    assert rp.claims(rp.tokens(browser)["id_token"])["aud"] == f"client-{alg}"


def test_pairwise_subjects_differ_by_client(app, grafana, browser):
    one = register(app, "one", subject="pairwise")
    two = register(app, "two", subject="pairwise", redirect_uris=["https://two.example.com/cb"])
    names = [rp.claims(rp.tokens(browser)["id_token"])["sub"] for rp in (grafana, one, two)]
    assert len(set(names)) == 3
    again = one.tokens(browser)
    assert one.claims(again["id_token"])["sub"] == names[1] == one.userinfo(again["access_token"]).json["sub"]


def test_token_requests_run_few_queries(app, grafana, browser, statements):
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
