"""A scope that an app may no longer request is removed from everything it already has."""

from __future__ import annotations

import pytest

from app.extensions import db
from app.oidc.models import Grant, OAuthClient
from tests.oidc import register
from tests.signed_in import sign_in
from tests.wire import Wire

ALL = "openid profile email groups offline_access"


@pytest.fixture
def lose(app):
    """Removes scopes from an app: ``lose(grafana, "email")``."""

    def change(party, *lost: str) -> None:
        with app.app_context():
            row = db.session.get_one(OAuthClient, party.id)
            kept = [scope for scope in (*ALL.split(), "phone") if scope not in lost]
            row.registered = row.registered | {"scopes": kept}
            db.session.commit()

    return change


@pytest.fixture
def asks(app):
    """An API that asks about tokens of every app."""
    api = register(app, "gateway", introspects=True)
    return lambda token: api.post("/oauth/introspect", token=token).json


def test_userinfo_omits_claims_of_a_scope_the_client_lost(grafana, browser, lose):
    token = grafana.tokens(browser, scope=ALL)["access_token"]
    assert {"email", "name"} <= grafana.userinfo(token).json.keys()
    lose(grafana, "email")
    facts = grafana.userinfo(token).json
    assert "name" in facts
    assert not {"email", "email_verified"} & facts.keys()
    lose(grafana)
    assert "email" in grafana.userinfo(token).json, "it has it again, and so has the token"


def test_userinfo_returns_403_once_the_client_lost_openid(grafana, browser, lose):
    token = grafana.tokens(browser, scope=ALL)["access_token"]
    lose(grafana, "openid")
    refused = grafana.userinfo(token)
    assert (refused.status_code, refused.json["error"]) == (403, "insufficient_scope")


def test_individually_requested_claims_require_their_scope(grafana, browser, lose):
    named = '{"userinfo": {"email": null}, "id_token": {"email": null, "name": null}}'
    tokens = grafana.tokens(browser, scope="openid", claims=named)
    assert grafana.userinfo(tokens["access_token"]).json["email"] == "ada@example.com"
    lose(grafana, "email")
    assert "email" not in grafana.userinfo(tokens["access_token"]).json
    claims = grafana.claims(grafana.refresh(tokens["refresh_token"]).json["id_token"])
    assert "name" in claims
    assert "email" not in claims


def test_introspection_omits_scopes_the_client_lost(grafana, browser, lose, asks):
    token = grafana.tokens(browser, scope=ALL)["access_token"]
    lose(grafana, "email", "groups")
    assert asks(token)["scope"] == "openid profile offline_access"


def test_refresh_omits_scopes_the_client_lost(grafana, browser, lose, asks):
    tokens = grafana.tokens(browser, scope=ALL)
    lose(grafana, "email", "groups")
    again = grafana.refresh(tokens["refresh_token"], scope="openid email").json
    assert again["scope"] == asks(again["access_token"])["scope"] == "openid"
    again = grafana.refresh(again["refresh_token"]).json
    assert again["scope"] == "openid profile offline_access"
    lose(grafana)
    assert grafana.refresh(again["refresh_token"]).json["scope"] == ALL


def test_refresh_without_remaining_scope_is_rejected_and_not_spent(grafana, browser, lose):
    refresh_token = grafana.tokens(browser, scope="openid email")["refresh_token"]
    lose(grafana, "openid", "email")
    for _ in range(2):
        refused = grafana.refresh(refresh_token)
        assert (refused.status_code, refused.json["error"]) == (400, "invalid_scope")
    lose(grafana)
    assert grafana.refresh(refresh_token).status_code == 200


def test_code_exchange_omits_scopes_the_client_lost(grafana, browser, lose):
    code = grafana.code(browser, scope=ALL)
    lose(grafana, "email")
    assert grafana.exchange(code).json["scope"] == "openid profile groups offline_access"


@pytest.mark.parametrize(("lost", "status"), [((), 200), (("offline_access",), 400)])
def test_client_that_lost_offline_access_cannot_refresh_after_logout(grafana, browser, lose, rows, lost, status):
    refresh_token = grafana.tokens(browser, scope=ALL)["refresh_token"]
    lose(grafana, *lost)
    refresh_token = grafana.refresh(refresh_token).json["refresh_token"]
    browser.post("/logout")
    assert grafana.refresh(refresh_token).status_code == status
    assert rows(Grant)[0].revoked_at is None, "nobody copied a token"


@pytest.mark.both_databases
def test_refresh_retry_after_logout_without_offline_access_is_no_reuse(grafana, browser, lose, rows, deliver, clock):
    first = grafana.tokens(browser, scope=ALL)["refresh_token"]
    newest = grafana.refresh(first).json["refresh_token"]
    lose(grafana, "offline_access")
    browser.post("/logout")
    assert grafana.refresh(first).json["error"] == "invalid_grant"
    assert (rows(Grant)[0].revoked_at, deliver()) == (None, [])
    clock.shift(31)
    assert grafana.refresh(first).json["error"] == "invalid_grant"
    assert rows(Grant)[0].revoked_at is not None, "whoever asks so late may have copied it"
    assert len(deliver()) == 1
    lose(grafana)
    assert grafana.refresh(newest).json["error"] == "invalid_grant"


@pytest.mark.both_databases
@pytest.mark.parametrize(("lost", "works"), [((), True), (("offline_access",), False)])
def test_access_token_of_client_that_lost_offline_access_ends_with_the_session(
    grafana, browser, lose, asks, lost, works
):
    token = grafana.tokens(browser, scope=ALL)["access_token"]
    lose(grafana, *lost)
    assert (grafana.userinfo(token).status_code, asks(token)["active"]) == (200, True)
    browser.post("/logout")
    assert (grafana.userinfo(token).status_code, asks(token)["active"]) == (200 if works else 401, works)
    lose(grafana)
    assert grafana.userinfo(token).status_code == 200, "it has it again, and so has the token"


def test_apps_page_omits_scopes_the_client_lost(grafana, browser, lose):
    grafana.tokens(browser, scope=ALL)
    assert "See your email" in browser.get("/apps").text
    lose(grafana, "email")
    assert "See your email" not in browser.get("/apps").text


@pytest.mark.both_databases
@pytest.mark.parametrize("lost", ["email", "offline_access"])
def test_apps_page_shows_no_access_after_logout_without_offline_access(app, ada, grafana, browser, lose, lost):
    grafana.tokens(browser, scope=ALL)
    lose(grafana, lost)
    browser.post("/logout")
    (access,) = sign_in(Wire(app, "json"), ada).get("/apps").json["access"]
    assert (access["signed_in"], access["scopes"] != []) == (
        (False, False) if lost == "offline_access" else (True, True)
    )


@pytest.mark.both_databases
def test_scope_check_adds_no_query(grafana, browser, lose, statements):
    tokens = grafana.tokens(browser, scope=ALL)
    counts = []
    for lost in ((), (), ("email",)):
        lose(grafana, *lost)
        with statements() as counted:
            grafana.userinfo(tokens["access_token"])
            grafana.post("/oauth/introspect", token=tokens["access_token"])
            tokens = grafana.refresh(tokens["refresh_token"]).json
        counts.append(len(counted))
    assert counts[1] == counts[2]
