"""CORS: only scripts at origins that clients registered may read responses of the endpoints."""

from __future__ import annotations

import json

import pytest

from app.oidc.cors import METHODS
from tests.client_rows import SECRET
from tests.client_rows import register as store
from tests.oidc import register
from tests.signed_in import sign_in
from tests.wire import Wire

ORIGIN = "https://spa.example.com"
ALLOW = "Access-Control-Allow-Origin"


def served(app) -> list[str]:
    """Return the endpoints of the list that there are."""
    return [path for path in METHODS if path in {rule.rule for rule in app.url_map.iter_rules()}]


@pytest.fixture
def spa(app):
    """A browser client with an origin of its own."""
    from app.extensions import db
    from app.oidc.client_store import change
    from app.oidc.clients import find_client

    party = register(app, "spa", public=True, origins=[ORIGIN])
    with app.app_context():
        change(find_client("spa"), by="operator")
        db.session.commit()
    return party


def preflight(app, path: str, origin: str = ORIGIN, **headers: str):
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"} | headers
    return app.test_client(use_cookies=False).options(path, headers=asked)


def forms(answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("Access-Control")}


# --- before the request -------------------------------------------------------------------------


def test_preflight_from_registered_origin_is_allowed(app, spa):
    for path in served(app):
        answer = preflight(app, path, **{"Access-Control-Request-Headers": "authorization,dpop"})
        assert (answer.status_code, answer.data) == (204, b"")
        assert forms(answer) == {
            "Access-Control-Allow-Origin": ORIGIN,
            "Access-Control-Allow-Methods": METHODS[path],
            "Access-Control-Allow-Headers": "Authorization, Content-Type, DPoP",
            "Access-Control-Max-Age": "600",
        }
        assert "Origin" in answer.headers["Vary"]
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("origin", [
    "https://evil.example", "null", "", "*", "https://spa.example.com.evil.example", "https://evil-spa.example.com",
    "https://spa.example.com:444", "http://spa.example.com", "https://sub.spa.example.com", "https://SPA.example.com",
    "https://spa.example.com/", "https://spa.example.com,https://evil.example", "https://" + "a" * 5000, "\x01",
])  # fmt: skip
def test_preflight_from_unregistered_origin_gets_no_cors_headers(app, spa, origin):
    for path in served(app):
        answer = preflight(app, path, origin)
        assert (answer.status_code, forms(answer)) == (204, {})


@pytest.mark.both_databases
def test_preflight_runs_at_most_one_query(app, spa, statements):
    preflight(app, "/oauth/token")
    with statements() as seen:
        preflight(app, "/oauth/token")
    assert len(seen) == 1, seen
    with statements() as seen:
        app.test_client().options("/oauth/token", headers={"Origin": ORIGIN})
        app.test_client().options("/oauth/token")
        preflight(app, "/oauth/token", "https://" + "a" * 5000)
        preflight(app, "/oauth/token", "http://localhost")
    assert seen == []


@pytest.mark.parametrize("path", ["/oauth/register", "/oauth/introspect", "/oauth/authorize", "/us-signin", "/"])
def test_other_endpoints_send_no_cors_headers(app, spa, path):
    assert forms(preflight(app, path)) == {}
    assert forms(app.test_client().post(path, json={}, headers={"Origin": ORIGIN})) == {}
    assert forms(app.test_client().get(path, headers={"Origin": ORIGIN})) == {}


def test_origin_of_disabled_client_is_not_allowed(app, spa):
    app.test_cli_runner().invoke(args=("clients", "disable", "spa"))
    assert forms(preflight(app, "/oauth/token")) == {}


@pytest.mark.both_databases
def test_removed_origin_is_no_longer_allowed(app, spa):
    app.test_cli_runner().invoke(args=("clients", "change", "spa", "--origin", "https://new.example.com"))
    assert forms(preflight(app, "/oauth/token")) == {}
    assert forms(preflight(app, "/oauth/token", "https://new.example.com"))[ALLOW] == "https://new.example.com"


@pytest.mark.both_databases
def test_origins_from_clients_file_need_no_query(app, make_app, tmp_path, statements):
    path = tmp_path / "clients.toml"
    more = f'origins = ["{ORIGIN}"]\nredirect_uris = ["{ORIGIN}/cb"]'
    path.write_text(f'[clients.dash]\nname = "Dash"\nauth_method = "none"\n{more}\n')
    filed = make_app(clients_file=str(path))
    with statements() as seen:
        assert forms(preflight(filed, "/oauth/token"))[ALLOW] == ORIGIN
    assert seen == []
    answer = filed.test_client().post("/oauth/token", data={"client_id": "dash"}, headers={"Origin": ORIGIN})
    assert (answer.json["error"], answer.headers[ALLOW]) == ("invalid_request", ORIGIN)


def test_origin_of_client_shadowed_by_clients_file_is_not_allowed(app, make_app, tmp_path, spa):
    path = tmp_path / "clients.toml"
    path.write_text('[clients.spa]\nname = "x"\nauth_method = "none"\nredirect_uris = ["https://x.example.com/cb"]\n')
    assert forms(preflight(make_app(clients_file=str(path)), "/oauth/token")) == {}


# --- the request itself -------------------------------------------------------------------------


def test_cors_client_can_read_token_userinfo_and_revoke_responses(app, spa, people):
    wire = sign_in(Wire(app, "form"), people.open("ada@example.com"))
    origin = {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    fields = {"grant_type": "authorization_code", "redirect_uri": spa.redirect_uri}
    code = spa.code(wire, scope="openid email")
    answer = spa.post("/oauth/token", headers=origin, code=code, code_verifier=spa.verifier, **fields)
    assert answer.status_code == 200
    assert forms(answer) == {
        "Access-Control-Allow-Origin": ORIGIN,
        "Access-Control-Expose-Headers": "DPoP-Nonce, Retry-After, WWW-Authenticate",
    }
    bearer = origin | {"Authorization": f"Bearer {answer.json['access_token']}"}
    claims = spa.http.get("/oauth/userinfo", headers=bearer)
    assert (claims.json["email"], claims.headers[ALLOW]) == ("ada@example.com", ORIGIN)
    revoked = spa.post("/oauth/revoke", headers=origin, token=answer.json["access_token"])
    assert (revoked.status_code, revoked.headers[ALLOW]) == (200, ORIGIN)


def test_cors_client_can_read_error_responses(app, spa):
    origin = {"Origin": ORIGIN}
    refused = spa.post("/oauth/token", headers=origin, grant_type="authorization_code", code="x", redirect_uri="x")
    assert (refused.json["error"], refused.headers[ALLOW]) == ("invalid_grant", ORIGIN)
    unknown = spa.post("/oauth/token", auth=False, headers=origin, client_id="nobody")
    assert (unknown.json["error"], unknown.headers[ALLOW]) == ("invalid_client", ORIGIN)
    expired = spa.http.get("/oauth/userinfo", headers=origin | {"Authorization": "Bearer x"})
    assert (expired.status_code, expired.headers[ALLOW]) == (401, ORIGIN)
    assert "WWW-Authenticate" in expired.headers["Access-Control-Expose-Headers"]


def test_origin_of_one_client_cannot_read_responses_to_another(app, spa, people):
    other = register(app, "other")
    answer = other.post("/oauth/token", headers={"Origin": ORIGIN}, grant_type="x")
    assert (answer.status_code, forms(answer)) == (400, {})
    wire = sign_in(Wire(app, "form"), people.open())
    token = other.tokens(wire)["access_token"]
    claims = other.http.get("/oauth/userinfo", headers={"Origin": ORIGIN, "Authorization": f"Bearer {token}"})
    assert (claims.status_code, forms(claims)) == (200, {})


def test_cors_never_allows_credentials_or_a_wildcard_origin(app, spa, people):
    wire = sign_in(Wire(app, "form"), people.open())
    for path in served(app):
        for answer in (
            preflight(app, path),
            wire.client.post(path, headers={"Origin": ORIGIN}),
            wire.client.post(path, headers={"Origin": "https://evil.example"}),
        ):
            assert "Access-Control-Allow-Credentials" not in answer.headers
            assert answer.headers.get(ALLOW) != "*"


@pytest.mark.both_databases
def test_same_origin_request_runs_no_origin_query(app, statements):
    store(app, "app")
    body = {"client_id": "app", "client_secret": SECRET}
    http = app.test_client()
    http.post("/oauth/token", data=body)
    with statements() as seen:
        answer = http.post("/oauth/token", data=body, headers={"Origin": "http://localhost"})
    assert (answer.status_code, forms(answer), len(seen)) == (400, {}, 1)


@pytest.mark.both_databases
def test_cors_adds_no_query_to_token_requests(app, spa, statements):
    spa.post("/oauth/token", grant_type="x")
    with statements() as seen:
        spa.post("/oauth/token", grant_type="x")
        spa.post("/oauth/token", headers={"Origin": ORIGIN}, grant_type="x")
    assert len(seen) == 2, seen
    assert json.dumps(seen).count("oauth_client_origin") == 0
