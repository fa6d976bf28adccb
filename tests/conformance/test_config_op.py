"""Config OP: one test for each check of ``oidcc-discovery-endpoint-verification``, by what it checks."""

from __future__ import annotations

import re

import pytest
from joserfc.jwk import KeySet

from tests.conformance.suite import DISCOVERY, check_json
from tests.oidc import ISSUER

pytestmark = pytest.mark.one_database

SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+\Z")
LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?\Z")
PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
WITHOUT_DEFAULT = (
    "authorization_endpoint",
    "token_endpoint",
    "userinfo_endpoint",
    "jwks_uri",
    "revocation_endpoint",
    "introspection_endpoint",
)


@pytest.fixture
def metadata(suite):
    """What the provider says of itself."""
    return suite.metadata


def test_discovery_document_is_json_with_status_200(suite):
    """Discovery, section 4.2: an answer with 200 and ``application/json``."""
    response = suite.rp.http.get(DISCOVERY)
    assert response.status_code == 200
    check_json(response)


def test_issuer_is_the_prefix_of_the_discovery_url(metadata):
    """Discovery, section 4.3: to the letter."""
    assert f"{metadata['issuer']}{DISCOVERY}" == f"{ISSUER}{DISCOVERY}"


def test_issuer_has_neither_query_nor_fragment(metadata):
    """RFC 8414, section 2."""
    assert re.fullmatch(r"https?://[a-z0-9.:-]+", metadata["issuer"])


def test_issuer_equals_iss_of_id_tokens(suite):
    """Discovery, section 7.2: the same to the letter as ``iss``."""
    assert suite.sign_in().claims["iss"] == suite.metadata["issuer"]


def test_code_flow_is_supported(metadata):
    """Discovery, section 3: ``response_types_supported`` has ``code``, which is all that there is here."""
    assert metadata["response_types_supported"] == ["code"]


def test_grant_types_include_authorization_code_but_not_implicit(metadata):
    """Discovery, section 3: left out it would mean that there is the implicit grant, too."""
    assert {"authorization_code", "refresh_token"} <= set(metadata["grant_types_supported"])
    assert "implicit" not in metadata["grant_types_supported"]


def test_subject_types_are_public_or_pairwise(metadata):
    """Discovery, section 3."""
    assert metadata["subject_types_supported"]
    assert set(metadata["subject_types_supported"]) <= {"public", "pairwise"}


def test_id_token_signing_supports_rs256(metadata):
    """Discovery, section 3: ``id_token_signing_alg_values_supported`` must have it."""
    assert "RS256" in metadata["id_token_signing_alg_values_supported"]


def test_userinfo_signing_algorithms_are_a_list_if_present(metadata):
    """Discovery, section 3: userinfo is plain JSON here."""
    assert isinstance(metadata.get("userinfo_signing_alg_values_supported", []), list)


@pytest.mark.parametrize("name", WITHOUT_DEFAULT)
def test_endpoint_belongs_to_the_issuer_and_is_served(suite, metadata, name):
    """Discovery, section 3: an absolute address, which answers."""
    assert metadata[name].startswith(f"{metadata['issuer']}/")
    assert suite.rp.http.get(suite.path(name)).status_code != 404


@pytest.mark.settings(public_url="https://sign-in.example.com")
def test_all_endpoints_are_https(app):
    """Discovery, section 3: what ends in ``_endpoint`` or ``_uri`` is an https address."""
    metadata = app.test_client().get(DISCOVERY, base_url="https://sign-in.example.com").json
    addresses = {name: value for name, value in metadata.items() if name.endswith(("_endpoint", "_uri"))}
    assert len(addresses) >= len(WITHOUT_DEFAULT)
    assert {value.partition("//")[0] for value in [*addresses.values(), metadata["issuer"]]} == {"https:"}


def test_jwks_is_valid(suite):
    """Discovery, section 3; RFC 7517, section 4.5: keys that can be read, each with a ``kid`` of its own."""
    keys = suite.jwks["keys"]
    KeySet.import_key_set(suite.jwks)
    assert len({key["kid"] for key in keys}) == len(keys)
    assert {(key["use"], key["alg"]) for key in keys} == {("sig", "RS256"), ("sig", "ES256"), ("sig", "EdDSA")}
    assert all("=" not in value for key in keys for value in key.values() if isinstance(value, str))


def test_jwks_has_no_private_or_symmetric_keys(suite):
    """RFC 7518, section 6: no private member, and no key of type ``oct``."""
    assert [key.keys() & PRIVATE for key in suite.jwks["keys"]] == [set()] * len(suite.jwks["keys"])
    assert {key["kty"] for key in suite.jwks["keys"]} == {"RSA", "EC", "OKP"}


def test_request_parameter_is_announced_as_unsupported(metadata):
    """Discovery, section 3: ``request_parameter_supported``; its own error says the same (Basic OP)."""
    assert metadata["request_parameter_supported"] is False


def test_request_uri_parameter_is_announced_as_unsupported(metadata):
    """Discovery, section 3: left out, ``request_uri_parameter_supported`` would mean that it is."""
    assert metadata["request_uri_parameter_supported"] is False


def test_claims_parameter_is_announced_as_supported(metadata):
    """Discovery, section 3: left out, ``claims_parameter_supported`` would mean that it isn't."""
    assert metadata["claims_parameter_supported"] is True


def test_claims_supported_matches_the_claims_issued(suite):
    """Discovery, section 3: ``claims_supported`` names what ID tokens and userinfo have."""
    signed_in = suite.sign_in(scope="openid profile email phone groups")
    assert set(suite.metadata["claims_supported"]) == signed_in.claims.keys() | signed_in.userinfo.keys()


def test_scopes_supported_includes_openid(metadata):
    """Discovery, section 3: ``scopes_supported`` must have it."""
    assert "openid" in metadata["scopes_supported"]


def test_scopes_supported_are_valid_scope_tokens(metadata):
    """RFC 6749, section 3.3: without blanks, quotes and backslashes."""
    assert all(SCOPE_TOKEN.match(scope) for scope in metadata["scopes_supported"])


def test_ui_locales_are_valid_language_tags(metadata):
    """RFC 8414, section 2; RFC 5646, section 2.1.1: ``de``, ``pt-BR``."""
    assert len(metadata["ui_locales_supported"]) >= 8
    assert all(LOCALE.match(tag) for tag in metadata["ui_locales_supported"])


def test_only_s256_code_challenge_is_supported(metadata):
    """RFC 8414, section 2: ``code_challenge_methods_supported``, of which there is S256 alone."""
    assert metadata["code_challenge_methods_supported"] == ["S256"]


def test_client_secret_basic_and_post_are_supported(metadata):
    """Discovery, section 3: ``client_secret_basic``, which would be meant without the list, and the other one."""
    assert {"client_secret_basic", "client_secret_post"} <= set(metadata["token_endpoint_auth_methods_supported"])


def test_iss_response_parameter_is_announced(metadata):
    """RFC 9207, section 3."""
    assert metadata["authorization_response_iss_parameter_supported"] is True


def test_metadata_has_no_empty_members(metadata):
    """Discovery, section 4.2: a list without elements is left out."""
    assert [name for name, value in metadata.items() if value in ([], "", None)] == []


def test_rfc_8414_document_equals_the_discovery_document(suite):
    """RFC 8414, section 5: both names lead to one document."""
    assert suite.rp.http.get("/.well-known/oauth-authorization-server").json == suite.metadata
