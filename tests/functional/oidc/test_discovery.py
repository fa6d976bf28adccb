"""Metadata for apps: OpenID Connect Discovery 1.0, RFC 8414, RFC 7517."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa

from app.oidc import key_store
from app.oidc.models import SigningKey
from tests.openapi import check_answer
from tests.signed_in import sign_in

OPENID, OAUTH, JWKS = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/oauth/jwks"
ALL = [OPENID, OAUTH, JWKS]


@pytest.fixture
def metadata(client):
    """The provider's metadata."""
    answer = client.get(OPENID)
    check_answer("GET", OPENID, answer)
    return answer.json


# --- members ------------------------------------------------------------------------------------


def test_metadata_has_the_required_discovery_members(metadata):
    """OpenID Connect Discovery, section 3: REQUIRED members, and RS256."""
    assert metadata["issuer"] == "http://localhost"
    assert metadata["authorization_endpoint"] == "http://localhost/oauth/authorize"
    assert metadata["token_endpoint"] == "http://localhost/oauth/token"
    assert metadata["jwks_uri"] == "http://localhost/oauth/jwks"
    assert metadata["response_types_supported"] == ["code"]
    assert metadata["subject_types_supported"] == ["public", "pairwise"]
    assert metadata["id_token_signing_alg_values_supported"] == ["RS256", "ES256", "EdDSA"]
    assert "openid" in metadata["scopes_supported"]
    assert {"sub", "iss", "auth_time", "acr", "groups", "email"} <= set(metadata["claims_supported"])


def test_metadata_explicitly_denies_features_that_default_to_true(metadata):
    """Discovery, section 3: request_uri_parameter_supported is true if omitted; the code grant, implicit too."""
    assert metadata["request_uri_parameter_supported"] is False
    assert metadata["request_parameter_supported"] is False
    assert metadata["require_request_uri_registration"] is False
    assert metadata["response_modes_supported"] == ["query"]
    device_code = "urn:ietf:params:oauth:grant-type:device_code"
    assert metadata["grant_types_supported"] == ["authorization_code", "refresh_token", device_code]


def test_metadata_offers_no_weak_methods(metadata):
    """RFC 9700: no plain PKCE, no implicit grant, no password grant; RFC 8414: nothing signed by none."""
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    assert "none" not in str([metadata[name] for name in metadata if "_alg_" in name])
    assert not {"implicit", "password"} & set(metadata["grant_types_supported"])


def test_metadata_announces_logout_and_iss_response_parameter(metadata):
    """Back-Channel Logout, section 2.1; RP-Initiated Logout, section 2.1; RFC 9207, section 3."""
    assert metadata["backchannel_logout_supported"] is True
    assert metadata["backchannel_logout_session_supported"] is True
    assert metadata["end_session_endpoint"] == "http://localhost/oauth/logout"
    assert metadata["authorization_response_iss_parameter_supported"] is True


def test_metadata_announces_prompt_acr_display_and_claims_support(metadata):
    assert metadata["prompt_values_supported"] == ["consent", "login", "none", "select_account"]
    assert metadata["acr_values_supported"] == ["aal1", "aal2"]
    assert metadata["display_values_supported"] == ["page"]
    assert metadata["claims_parameter_supported"] is True


def test_metadata_lists_are_not_empty_and_have_no_duplicates(metadata):
    """RFC 8414, section 3.2: claims with zero values are omitted."""
    lists = [value for value in metadata.values() if isinstance(value, list)]
    assert len(lists) > 10
    assert all(each and len(each) == len(set(each)) for each in lists)


@pytest.mark.settings(languages=["de", "pt-BR"])
def test_ui_locales_are_the_configured_languages(metadata):
    assert metadata["ui_locales_supported"] == ["de", "pt-BR"]


@pytest.mark.settings(public_url="http://localhost:8111")
def test_metadata_uses_the_configured_public_url_not_the_request_host(app):
    found = app.test_client().get(OPENID, headers={"Host": "localhost:8111", "X-Forwarded-Host": "evil.example"}).json
    addresses = re.findall(r"https?://[^/\"']+", str(found))
    assert set(addresses) == {"http://localhost:8111"}


def test_openid_and_oauth_metadata_are_identical(client):
    """RFC 8414, section 5: one server may publish both."""
    assert client.get(OPENID).data == client.get(OAUTH).data


# --- how it is served ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", ALL)
def test_discovery_documents_are_public_and_cacheable(client, path):
    answer = client.get(path, headers={"Origin": "https://app.example"})
    check_answer("GET", path, answer)
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers.getlist("Cache-Control") == [f"public, max-age={900 if path == JWKS else 3600}"]
    assert "Cookie" not in answer.headers["Vary"]
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("path", ALL)
def test_matching_etag_returns_304(client, path):
    first = client.get(path)
    again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["Access-Control-Allow-Origin"] == "*"
    assert again.headers["Cache-Control"] == first.headers["Cache-Control"]
    assert client.get(path, headers={"If-None-Match": '"another"'}).status_code == 200


@pytest.mark.parametrize("path", ALL)
def test_preflight_of_discovery_documents_is_allowed_without_queries(client, statements, path):
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET",
             "Access-Control-Request-Headers": "x-of-its-own"}  # fmt: skip
    with statements() as seen:
        answer = client.options(path, headers=asked)
    assert (answer.status_code, answer.data, seen) == (204, b"", [])
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "GET" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"] == "*"


@pytest.mark.parametrize("path", ALL)
def test_discovery_documents_allow_only_get_and_head(client, path):
    assert client.head(path).status_code == 200
    assert client.head(path).data == b""
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.open(path, method=method).status_code == 405


@pytest.mark.parametrize("path", [OPENID, OAUTH])
def test_metadata_runs_no_query_even_with_credentials(browser_wire, people, statements, path):
    sign_in(browser_wire, people.open())
    with statements() as seen:
        assert browser_wire.get(path).status == 200
        assert browser_wire.client.get(path, headers={"Authorization": "Bearer lkp_x"}).status_code == 200
    assert seen == []


@pytest.mark.both_databases
def test_jwks_runs_one_query_and_is_then_cached(browser_wire, people, statements, clock):
    browser_wire.get(JWKS)
    sign_in(browser_wire, people.open())
    clock.shift(60)
    with statements() as seen:
        assert browser_wire.get(JWKS).status == 200
    assert len(seen) == 1
    with statements() as seen:
        assert browser_wire.get(JWKS).status == 200
    assert seen == []


def test_key_rotation_changes_the_jwks_etag(app, client, clock):
    before = client.get(JWKS).headers["ETag"]
    assert client.get(JWKS).headers["ETag"] == before
    clock.shift(91 * 86_400)
    assert client.get(JWKS).headers["ETag"] != before


def test_first_jwks_request_creates_keys_and_publishes_no_private_parts(client, rows):
    published = client.get(JWKS).json["keys"]
    assert {key["kid"] for key in published} == {row.kid for row in rows(SigningKey)}
    assert len(published) == 6
    assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & {member for key in published for member in key}


@pytest.mark.both_databases
def test_jwks_is_served_when_the_next_key_cannot_be_created(app, client, clock, monkeypatch):
    """As with a read-only database."""
    before = client.get(JWKS).json["keys"]
    clock.shift(91 * 86_400)

    def refuse(*_):
        raise sa.exc.OperationalError("INSERT", {}, Exception("read-only"))

    monkeypatch.setattr(key_store, "create_key", refuse)
    assert client.get(JWKS).json["keys"] == before


def test_every_announced_endpoint_is_served(app, metadata):
    named = {value.removeprefix(metadata["issuer"]) for name, value in metadata.items() if name.endswith("_endpoint")}
    served = {rule.rule for rule in app.url_map.iter_rules()}
    assert len(named) >= 7
    assert named <= served
