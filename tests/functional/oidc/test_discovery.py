"""What apps read before they send anyone here: OpenID Connect Discovery 1.0, RFC 8414, RFC 7517."""

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


def test_it_has_what_discovery_requires(metadata):
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


def test_it_says_no_where_silence_would_mean_yes(metadata):
    """Discovery, section 3: request_uri_parameter_supported is true if omitted; the code grant, implicit too."""
    assert metadata["request_uri_parameter_supported"] is False
    assert metadata["request_parameter_supported"] is False
    assert metadata["require_request_uri_registration"] is False
    assert metadata["response_modes_supported"] == ["query"]
    device_code = "urn:ietf:params:oauth:grant-type:device_code"
    assert metadata["grant_types_supported"] == ["authorization_code", "refresh_token", device_code]


def test_it_offers_nothing_that_is_weak(metadata):
    """RFC 9700: no plain PKCE, no implicit grant, no password grant; RFC 8414: nothing signed by none."""
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    assert "none" not in str([metadata[name] for name in metadata if "_alg_" in name])
    assert not {"implicit", "password"} & set(metadata["grant_types_supported"])


def test_it_announces_logout_and_the_issuer_in_answers(metadata):
    """Back-Channel Logout, section 2.1; RP-Initiated Logout, section 2.1; RFC 9207, section 3."""
    assert metadata["backchannel_logout_supported"] is True
    assert metadata["backchannel_logout_session_supported"] is True
    assert metadata["end_session_endpoint"] == "http://localhost/oauth/logout"
    assert metadata["authorization_response_iss_parameter_supported"] is True


def test_what_may_be_asked_of_a_sign_in_is_announced(metadata):
    assert metadata["prompt_values_supported"] == ["consent", "login", "none", "select_account"]
    assert metadata["acr_values_supported"] == ["aal1", "aal2"]
    assert metadata["display_values_supported"] == ["page"]
    assert metadata["claims_parameter_supported"] is True


def test_every_list_names_something_and_nothing_twice(metadata):
    """RFC 8414, section 3.2: claims with zero values are omitted."""
    lists = [value for value in metadata.values() if isinstance(value, list)]
    assert len(lists) > 10
    assert all(each and len(each) == len(set(each)) for each in lists)


@pytest.mark.settings(languages=["de", "pt-BR"])
def test_languages_are_those_of_the_settings(metadata):
    assert metadata["ui_locales_supported"] == ["de", "pt-BR"]


@pytest.mark.settings(public_url="http://localhost:8111")
def test_the_issuer_is_the_address_of_the_settings_never_that_of_the_request(app):
    found = app.test_client().get(OPENID, headers={"Host": "localhost:8111", "X-Forwarded-Host": "evil.example"}).json
    addresses = re.findall(r"https?://[^/\"']+", str(found))
    assert set(addresses) == {"http://localhost:8111"}


def test_both_documents_are_the_same(client):
    """RFC 8414, section 5: one server may publish both."""
    assert client.get(OPENID).data == client.get(OAUTH).data


# --- how it is served ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", ALL)
def test_anyone_may_read_it_and_keep_it(client, path):
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
def test_who_has_it_already_is_told_so(client, path):
    first = client.get(path)
    again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["Access-Control-Allow-Origin"] == "*"
    assert again.headers["Cache-Control"] == first.headers["Cache-Control"]
    assert client.get(path, headers={"If-None-Match": '"another"'}).status_code == 200


@pytest.mark.parametrize("path", ALL)
def test_a_script_that_asks_first_may(client, statements, path):
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET",
             "Access-Control-Request-Headers": "x-of-its-own"}  # fmt: skip
    with statements() as seen:
        answer = client.options(path, headers=asked)
    assert (answer.status_code, answer.data, seen) == (204, b"", [])
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "GET" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"] == "*"


@pytest.mark.parametrize("path", ALL)
def test_it_is_read_alone(client, path):
    assert client.head(path).status_code == 200
    assert client.head(path).data == b""
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.open(path, method=method).status_code == 405


@pytest.mark.parametrize("path", [OPENID, OAUTH])
def test_metadata_takes_no_statement_whoever_asks(browser_wire, people, statements, path):
    sign_in(browser_wire, people.open())
    with statements() as seen:
        assert browser_wire.get(path).status == 200
        assert browser_wire.client.get(path, headers={"Authorization": "Bearer lkp_x"}).status_code == 200
    assert seen == []


def test_keys_take_a_statement_at_most_whoever_asks(browser_wire, people, statements, clock):
    browser_wire.get(JWKS)
    sign_in(browser_wire, people.open())
    clock.shift(60)
    with statements() as seen:
        assert browser_wire.get(JWKS).status == 200
    assert len(seen) == 1
    with statements() as seen:
        assert browser_wire.get(JWKS).status == 200
    assert seen == []


def test_a_rotation_shows_in_the_etag(app, client, clock):
    before = client.get(JWKS).headers["ETag"]
    assert client.get(JWKS).headers["ETag"] == before
    clock.shift(91 * 86_400)
    assert client.get(JWKS).headers["ETag"] != before


def test_a_key_that_is_missing_is_made_with_the_first_look(client, rows):
    published = client.get(JWKS).json["keys"]
    assert {key["kid"] for key in published} == {row.kid for row in rows(SigningKey)}
    assert len(published) == 6
    assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & {member for key in published for member in key}


def test_keys_are_published_where_a_next_one_can_not_be_made(app, client, clock, monkeypatch):
    """As with a database that takes no writes."""
    before = client.get(JWKS).json["keys"]
    clock.shift(91 * 86_400)

    def refuse(*_):
        raise sa.exc.OperationalError("INSERT", {}, Exception("read-only"))

    monkeypatch.setattr(key_store, "make", refuse)
    assert client.get(JWKS).json["keys"] == before


def test_every_endpoint_that_it_names_is_served(app, metadata):
    named = {value.removeprefix(metadata["issuer"]) for name, value in metadata.items() if name.endswith("_endpoint")}
    served = {rule.rule for rule in app.url_map.iter_rules()}
    assert len(named) >= 7
    assert named <= served
