"""DPoP-bound tokens (RFC 9449): valid and invalid proofs, and no access without one."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.dpop import ProofKey, encoded
from tests.oidc import ISSUER, RelyingParty, register

USERINFO = "/oauth/userinfo"
HMAC_KEY = {"kty": "oct", "k": encoded(b"0" * 32)}


@pytest.fixture
def key() -> ProofKey:
    """The key that an app has."""
    return ProofKey()


@pytest.fixture
def spa(app) -> RelyingParty:
    """An app without a secret."""
    return register(app, "spa", public=True)


def bound_tokens(rp, browser, key, **asked):
    """Return tokens that are bound to a key."""
    response = rp.exchange(rp.code(browser, **asked), headers=key.headers())
    assert response.status_code == 200, response.text
    return response.json


def who(rp, token, key, **different):
    """Present a token with a proof."""
    return rp.userinfo(token, key.headers(USERINFO, "GET", token=token, **different))


def error_of(response) -> tuple[int, str]:
    """Return status and code of a refusal."""
    return response.status_code, response.json["error"]


@pytest.mark.parametrize("alg", ["ES256", "EdDSA", "Ed25519", "RS256", "PS256"])
def test_access_token_is_bound_to_the_dpop_key(spa, browser, alg):
    key = ProofKey(alg)
    tokens = bound_tokens(spa, browser, key)
    assert tokens["token_type"] == "DPoP"
    answer = who(spa, tokens["access_token"], key)
    assert answer.status_code == 200
    assert answer.json["sub"] == spa.claims(tokens["id_token"])["sub"]


def test_introspection_returns_the_dpop_key_thumbprint(app, spa, browser, key):
    tokens = bound_tokens(spa, browser, key)
    facts = register(app, "api", introspects=True).post("/oauth/introspect", token=tokens["access_token"]).json
    assert (facts["token_type"], facts["cnf"]) == ("DPoP", {"jkt": key.jkt})
    plain = spa.tokens(browser)
    facts = register(app, "api2", introspects=True).post("/oauth/introspect", token=plain["access_token"]).json
    assert facts["token_type"] == "Bearer"
    assert "cnf" not in facts


def test_jwt_access_token_contains_the_dpop_key_thumbprint(app, browser, key):
    rp = register(app, "api-client", access_token="jwt")
    assert rp.claims(bound_tokens(rp, browser, key)["access_token"])["cnf"] == {"jkt": key.jkt}
    assert "cnf" not in rp.claims(rp.tokens(browser)["access_token"])


@pytest.mark.both_databases
def test_dpop_proof_adds_one_query_to_userinfo(spa, browser, key, statements):
    token = bound_tokens(spa, browser, key)["access_token"]
    with statements() as counted:
        assert who(spa, token, key).status_code == 200
    assert len(counted) == 2, counted


# --- what is no proof ---------------------------------------------------------------------------


WRONG = {
    "typ": {"header_typ": "JWT"},
    "no typ": {"header_typ": None},
    "no alg": {"header_alg": None},
    "alg none": {"header_alg": "none"},
    "alg of a shared key": {"header_alg": "HS256"},
    "alg of another key": {"header_alg": "RS256"},
    "alg that is no text": {"header_alg": ["ES256"]},
    "no jwk": {"header_jwk": None},
    "jwk of another key": {"header_jwk": ProofKey().key.as_dict(private=False)},
    "jwk with its private part": {"header_jwk": ProofKey().key.as_dict(private=True)},
    "jwk that is shared": {"header_jwk": HMAC_KEY},
    "jwk that is text": {"header_jwk": "key"},
    "jwk with numbers": {"header_jwk": {"kty": "EC", "crv": "P-256", "x": 1, "y": 2}},
    "jwk that is no point": {"header_jwk": {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}},
    "crit": {"header_crit": ["exp"]},
    "no htm": {"htm": None},
    "htm": {"htm": "GET"},
    "htm in lower case": {"htm": "post"},
    "no htu": {"htu": None},
    "htu of another endpoint": {"htu": f"{ISSUER}/oauth/userinfo"},
    "htu of another host": {"htu": "http://localhost.evil.example/oauth/token"},
    "htu of another scheme": {"htu": "https://localhost/oauth/token"},
    "htu of another scheme at this port": {"htu": "https://localhost:80/oauth/token"},
    "htu of another port": {"htu": "http://localhost:8080/oauth/token"},
    "htu with a port that is none": {"htu": "http://localhost:x/oauth/token"},
    "htu with a name": {"htu": "http://name@localhost/oauth/token"},
    "htu that is a path": {"htu": "/oauth/token"},
    "htu that is no text": {"htu": 5},
    "no iat": {"iat": None},
    "iat that is text": {"iat": "now"},
    "iat that is true": {"iat": True},
    "iat of an hour ago": {"iat": 1_000_000_000},
    "iat beyond numbers": {"iat": 10**400},
    "iat that is no number": {"iat": float("nan")},
    "no jti": {"jti": None},
    "jti without text": {"jti": ""},
    "jti that is a number": {"jti": 5},
    "too long": {"more": "x" * 4000},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_invalid_dpop_proof_is_rejected_without_spending_the_code(spa, browser, key, wrong):
    code = spa.code(browser)
    assert error_of(spa.exchange(code, headers=key.headers(**wrong))) == (400, "invalid_dpop_proof")
    assert spa.exchange(code, headers=key.headers()).status_code == 200


@pytest.mark.parametrize(
    "sent", ["", "x", "a.b", "a.b.c", "....", "é.é.é", "e30.e30.", "W10.W10.W10", "bnVsbA.bnVsbA.x"]
)
def test_malformed_dpop_header_is_rejected(spa, browser, sent):
    assert error_of(spa.exchange(spa.code(browser), headers={"DPoP": sent})) == (400, "invalid_dpop_proof")


def test_tampered_dpop_proof_is_rejected(spa, browser, key):
    header, claims, signature = key.proof("/oauth/token").split(".")
    other = json.loads(base64.urlsafe_b64decode(claims + "==")) | {"jti": "another"}
    changed = f"{header}.{encoded(json.dumps(other).encode())}.{signature}"
    assert error_of(spa.exchange(spa.code(browser), headers={"DPoP": changed})) == (400, "invalid_dpop_proof")


def test_error_for_bound_token_without_proof_says_it_is_missing(spa, browser, key):
    token = bound_tokens(spa, browser, key)["access_token"]
    answer = spa.userinfo(token, {"Authorization": f"DPoP {token}"})
    assert error_of(answer) == (401, "invalid_dpop_proof")
    assert "it is missing" in answer.json["error_description"]


@pytest.mark.parametrize("alg", ["ES256", "EdDSA", "RS256"])
def test_dpop_proof_with_private_key_in_header_is_rejected(spa, browser, alg):
    key = ProofKey(alg)
    headers = key.headers(header_jwk=key.key.as_dict(private=True))
    assert error_of(spa.exchange(spa.code(browser), headers=headers)) == (400, "invalid_dpop_proof")


def test_unknown_proof_header_members_are_ignored(spa, browser, key):
    assert spa.exchange(spa.code(browser), headers=key.headers(header_kid="1", header_more=[1])).status_code == 200


def test_dpop_proof_with_1024_bit_rsa_key_is_rejected(spa, browser):
    from joserfc import jwk

    weak = ProofKey("RS256")
    weak.key = jwk.generate_key("RSA", 1024)
    assert error_of(spa.exchange(spa.code(browser), headers=weak.headers())) == (400, "invalid_dpop_proof")


def test_request_with_two_dpop_headers_is_rejected(spa, browser, key):
    code = spa.code(browser)
    both = [("DPoP", key.proof("/oauth/token")) for _ in range(2)]
    fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": spa.redirect_uri, "client_id": "spa"}
    response = spa.http.post("/oauth/token", data=fields | {"code_verifier": spa.verifier}, headers=both)
    assert error_of(response) == (400, "invalid_dpop_proof")


@pytest.mark.parametrize(
    "htu",
    ["HTTP://LOCALHOST/oauth/token", "http://localhost:80/oauth/token", "http://localhost/oauth/token?a=b#c"],
    ids=["case", "port", "query"],
)
def test_htu_is_compared_after_normalization(spa, browser, key, htu):
    assert spa.exchange(spa.code(browser), headers=key.headers(htu=htu)).status_code == 200


@pytest.mark.parametrize(("seconds", "status"), [(-61, 400), (-58, 200), (58, 200), (62, 400)])
def test_dpop_proof_iat_must_be_within_a_minute(spa, browser, key, clock, seconds, status):
    iat = int(clock.unix()) + seconds
    assert spa.exchange(spa.code(browser), headers=key.headers(iat=iat)).status_code == status


# --- once ---------------------------------------------------------------------------------------


@pytest.mark.both_databases
def test_replayed_dpop_proof_is_rejected_at_userinfo(spa, browser, key):
    token = bound_tokens(spa, browser, key)["access_token"]
    headers = key.headers(USERINFO, "GET", token=token)
    assert spa.userinfo(token, headers).status_code == 200
    assert error_of(spa.userinfo(token, headers)) == (401, "invalid_dpop_proof")


@pytest.mark.both_databases
def test_concurrent_replay_of_a_dpop_proof_is_accepted_once(spa, browser, key):
    token = bound_tokens(spa, browser, key)["access_token"]
    headers = key.headers(USERINFO, "GET", token=token)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: spa.userinfo(token, headers).status_code, range(40)))
    assert sorted(answers) == [200] + [401] * 39


@pytest.mark.both_databases
def test_replayed_dpop_proof_is_rejected_at_token_endpoint(spa, browser, key):
    headers = key.headers()
    assert spa.exchange(spa.code(browser), headers=headers).status_code == 200
    assert error_of(spa.exchange(spa.code(browser), headers=headers)) == (400, "invalid_dpop_proof")


@pytest.mark.both_databases
def test_same_jti_from_two_keys_is_accepted(spa, browser, key):
    for each in (key, ProofKey()):
        assert spa.exchange(spa.code(browser), headers=each.headers(jti="1")).status_code == 200


@pytest.mark.both_databases
def test_used_proof_is_not_pruned_before_it_expires(spa, browser, key, clock, app):
    from app.oidc.cleanup import prune_used_proofs

    headers = key.headers(iat=int(clock.unix()) + 50)
    assert spa.exchange(spa.code(browser), headers=headers).status_code == 200
    clock.shift(100)
    with app.app_context():
        prune_used_proofs()
    assert error_of(spa.exchange(spa.code(browser), headers=headers)) == (400, "invalid_dpop_proof")


# --- presenting a token -------------------------------------------------------------------------


def refused_at_userinfo(response, error: str, scheme: str = "DPoP") -> None:
    """Check a resource's response to an invalid token (section 7.1)."""
    assert error_of(response) == (401, error)
    challenge = response.headers["WWW-Authenticate"]
    assert challenge.startswith(f"{scheme} ")
    assert f'error="{error}"' in challenge
    if scheme == "DPoP":
        assert 'algs="RS256 PS256 ES256 EdDSA Ed25519"' in challenge


def test_dpop_bound_token_is_rejected_as_bearer_token(spa, browser, key):
    token = bound_tokens(spa, browser, key)["access_token"]
    refused_at_userinfo(spa.userinfo(token), "invalid_token")
    proof = key.proof(USERINFO, "GET", token=token)
    refused_at_userinfo(spa.userinfo(token, {"Authorization": f"Bearer {token}", "DPoP": proof}), "invalid_token")
    in_form = spa.http.post(USERINFO, data={"access_token": token}, headers={"DPoP": key.proof(USERINFO, token=token)})
    refused_at_userinfo(in_form, "invalid_token")
    assert who(spa, token, key).status_code == 200


def test_bearer_token_is_rejected_with_dpop_scheme(spa, browser, key):
    token = spa.tokens(browser)["access_token"]
    refused_at_userinfo(who(spa, token, key), "invalid_token", "Bearer")
    assert spa.userinfo(token).status_code == 200


def test_dpop_bound_token_without_proof_is_rejected(spa, browser, key):
    token = bound_tokens(spa, browser, key)["access_token"]
    refused_at_userinfo(spa.userinfo(token, {"Authorization": f"DPoP {token}"}), "invalid_dpop_proof")


def test_dpop_proof_must_match_the_access_token_hash(spa, browser, key):
    token, other = (bound_tokens(spa, browser, key)["access_token"] for _ in range(2))
    for proof in (key.proof(USERINFO, "GET"), key.proof(USERINFO, "GET", token=other)):
        sent = {"Authorization": f"DPoP {token}", "DPoP": proof}
        refused_at_userinfo(spa.userinfo(token, sent), "invalid_dpop_proof")


def test_dpop_bound_token_with_another_key_is_rejected(spa, browser, key):
    token = bound_tokens(spa, browser, key)["access_token"]
    refused_at_userinfo(who(spa, token, ProofKey()), "invalid_token")


def test_dpop_proof_must_match_the_request_method(spa, browser, key):
    token = bound_tokens(spa, browser, key)["access_token"]
    refused_at_userinfo(who(spa, token, key, htm="POST"), "invalid_dpop_proof")
    posted = spa.http.post(USERINFO, headers=key.headers(USERINFO, "POST", token=token))
    assert posted.status_code == 200


def test_challenge_scheme_follows_the_presented_token(spa, key):
    refused_at_userinfo(who(spa, "lka_nothing", key), "invalid_token")
    nothing = spa.http.get(USERINFO).headers["WWW-Authenticate"]
    assert nothing == 'Bearer realm="userinfo", DPoP algs="RS256 PS256 ES256 EdDSA Ed25519"'


# --- refreshing ---------------------------------------------------------------------------------


def test_refresh_token_of_public_client_is_bound_to_the_dpop_key(spa, browser, key):
    first = bound_tokens(spa, browser, key)
    for headers in ({}, ProofKey().headers()):
        assert error_of(spa.refresh(first["refresh_token"], headers=headers)) == (400, "invalid_grant")
    second = spa.refresh(first["refresh_token"], headers=key.headers()).json
    assert second["token_type"] == "DPoP"
    assert who(spa, second["access_token"], key).status_code == 200
    assert error_of(spa.refresh(second["refresh_token"])) == (400, "invalid_grant")
    assert spa.refresh(second["refresh_token"], headers=key.headers()).status_code == 200


def test_confidential_client_may_change_dpop_key_on_refresh(grafana, browser, key):
    first = bound_tokens(grafana, browser, key)
    other = ProofKey()
    second = grafana.refresh(first["refresh_token"], headers=other.headers()).json
    assert second["token_type"] == "DPoP"
    assert who(grafana, second["access_token"], other).status_code == 200
    refused_at_userinfo(who(grafana, second["access_token"], key), "invalid_token")
    assert who(grafana, first["access_token"], key).status_code == 200
    third = grafana.refresh(second["refresh_token"]).json
    assert third["token_type"] == "Bearer"
    assert grafana.userinfo(third["access_token"]).status_code == 200


def test_client_requiring_dpop_gets_no_tokens_without_proof(app, browser, key):
    strict = register(app, "strict", require_dpop=True)
    code = strict.code(browser)
    assert error_of(strict.exchange(code)) == (400, "invalid_dpop_proof")
    tokens = strict.exchange(code, headers=key.headers()).json
    assert error_of(strict.refresh(tokens["refresh_token"])) == (400, "invalid_dpop_proof")
    assert strict.refresh(tokens["refresh_token"], headers=key.headers()).json["token_type"] == "DPoP"


# --- binding a code -----------------------------------------------------------------------------


@pytest.mark.parametrize("public", [True, False], ids=["public", "secret"])
def test_dpop_jkt_binds_the_code_to_the_key(app, browser, key, public):
    rp = register(app, "bound", public=public)
    code = rp.code(browser, dpop_jkt=key.jkt)
    for headers in ({}, ProofKey().headers()):
        assert error_of(rp.exchange(code, headers=headers)) == (400, "invalid_grant")
    assert rp.exchange(code, headers=key.headers()).json["token_type"] == "DPoP"


def pushed_code(rp, browser, response) -> str:
    """Return the code for a request that was pushed."""
    assert response.status_code == 201, response.text
    query = {"client_id": rp.id, "request_uri": response.json["request_uri"]}
    return str(rp.answer(browser.client.get("/oauth/authorize", query_string=query))["code"])


@pytest.mark.parametrize("how", ["proof", "name", "both"])
def test_pushed_request_binds_the_code_to_the_dpop_key(spa, browser, key, how):
    headers = key.headers("/oauth/par") if how != "name" else {}
    code = pushed_code(spa, browser, spa.push(headers, dpop_jkt=key.jkt if how != "proof" else None))
    assert error_of(spa.exchange(code)) == (400, "invalid_grant")
    assert error_of(spa.exchange(code, headers=ProofKey().headers())) == (400, "invalid_grant")
    assert spa.exchange(code, headers=key.headers()).json["token_type"] == "DPoP"


def test_pushed_request_with_mismatched_or_invalid_dpop_key_is_rejected(spa, key):
    assert error_of(spa.push(key.headers("/oauth/par"), dpop_jkt=ProofKey().jkt)) == (400, "invalid_request")
    assert error_of(spa.push(key.headers("/oauth/token"))) == (400, "invalid_dpop_proof")
    assert error_of(spa.push(dpop_jkt="x" * 44)) == (400, "invalid_request")
    headers = key.headers("/oauth/par")
    assert [spa.push(headers).status_code for _ in range(2)] == [201, 400]
