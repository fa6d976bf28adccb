"""Signing and verifying our tokens."""

from __future__ import annotations

import base64
import hmac
import json
import warnings
from datetime import timedelta

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from app.crypto.encryption import DecryptionError
from app.extensions import db
from app.oidc import jose, key_store, keys
from app.oidc.clients import ALGORITHMS
from app.oidc.models import SigningKey

CLAIMS = {"iss": "http://localhost", "sub": "ada", "exp": 1}


@pytest.fixture(autouse=True)
def context(app):
    """Signing belongs to an app."""
    with app.app_context():
        yield


def header_of(token: str) -> dict:
    """Return the header of a token."""
    return json.loads(unpadded(token.split(".")[0]))


def unpadded(text: str) -> bytes:
    """Decode base64url without its padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def with_header(token: str, **changed: object) -> str:
    """Return ``token`` with a changed header and its original signature."""
    header = base64.urlsafe_b64encode(orjson.dumps(header_of(token) | changed)).rstrip(b"=").decode()
    return ".".join([header, *token.split(".")[1:]])


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_token_is_verifiable_with_the_published_jwks(alg):
    token = keys.sign(CLAIMS, alg)
    published = KeySet.import_key_set(keys.public_set())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert jwt.decode(token, published, algorithms=[alg]).claims == CLAIMS
    assert header_of(token) == {"alg": alg, "kid": header_of(token)["kid"], "typ": "JWT"}


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_own_token_is_verified_regardless_of_expiry(alg):
    assert keys.verify(keys.sign(CLAIMS, alg)) == CLAIMS


def test_token_of_another_typ_is_rejected():
    token = keys.sign(CLAIMS, "RS256", typ="at+jwt")
    assert header_of(token)["typ"] == "at+jwt"
    assert keys.verify(token, typ="at+jwt") == CLAIMS
    assert keys.verify(token, typ="JWT") is None


@pytest.mark.parametrize("alg", ["none", "HS256", "RS512", "PS256", ""])
def test_signing_with_unsupported_algorithm_raises(alg):
    with pytest.raises(ValueError, match="no keys for"):
        keys.sign(CLAIMS, alg)


@pytest.mark.parametrize("alg", ["none", "HS256", "RS512"])
def test_algorithm_registry_rejects_other_algorithms(alg):
    with pytest.raises(ValueError, match="not an algorithm of ours"):
        jose.OurAlgorithms().get_alg(alg)


def test_signing_with_eddsa_emits_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert keys.verify(keys.sign(CLAIMS, "EdDSA")) == CLAIMS


def test_jwks_has_two_public_keys_per_algorithm():
    published = keys.public_set()["keys"]
    assert [key["alg"] for key in published] == ["RS256", "RS256", "ES256", "ES256", "EdDSA", "EdDSA"]
    assert len({key["kid"] for key in published}) == 6
    assert [set(key) for key in published[::2]] == [
        {"kty", "n", "e", "kid", "use", "alg"},
        {"kty", "crv", "x", "y", "kid", "use", "alg"},
        {"kty", "crv", "x", "kid", "use", "alg"},
    ]
    assert {key["use"] for key in published} == {"sig"}
    assert len(unpadded(published[0]["n"])) == 256
    assert [key["crv"] for key in published[2::2]] == ["P-256", "Ed25519"]


def test_kid_is_the_key_thumbprint():
    for key in keys.public_set()["keys"]:
        kind = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}[key["kty"]]
        assert kind.import_key(key).thumbprint() == key["kid"]


# --- tokens that aren't ours --------------------------------------------------------------------


def test_unsigned_token_is_rejected():
    token = keys.sign(CLAIMS, "RS256")
    unsigned = with_header(token, alg="none").rpartition(".")[0] + "."
    assert keys.verify(unsigned) is None
    assert keys.verify(token.rpartition(".")[0] + ".") is None


def test_token_hmac_signed_with_the_public_key_is_rejected():
    token = keys.sign(CLAIMS, "RS256")
    kid = header_of(token)["kid"]
    public = next(key for key in keys.public_set()["keys"] if key["kid"] == kid)
    signed, _, _ = with_header(token, alg="HS256").rpartition(".")
    for password in (RSAKey.import_key(public).as_pem(), RSAKey.import_key(public).as_der(), orjson.dumps(public)):
        mac = base64.urlsafe_b64encode(hmac.digest(password, signed.encode(), "sha256")).rstrip(b"=").decode()
        assert keys.verify(f"{signed}.{mac}") is None


def test_token_signed_by_a_foreign_key_is_rejected():
    ours = keys.sign(CLAIMS, "RS256")
    foreign = RSAKey.generate_key(2048)
    for kid in (header_of(ours)["kid"], foreign.thumbprint()):
        assert keys.verify(jwt.encode({"alg": "RS256", "kid": kid, "typ": "JWT"}, CLAIMS, foreign)) is None


def test_token_with_mismatched_kid_and_alg_is_rejected():
    ours = keys.sign(CLAIMS, "ES256")
    other = header_of(keys.sign(CLAIMS, "EdDSA"))["kid"]
    assert keys.verify(with_header(ours, kid=other)) is None
    assert keys.verify(with_header(ours, alg="EdDSA")) is None


def test_own_key_used_with_another_algorithm_is_rejected():
    ours = key_store.find(header_of(keys.sign(CLAIMS, "RS256"))["kid"])
    header = {"alg": "RS512", "kid": ours.kid, "typ": "JWT"}
    assert keys.verify(jwt.encode(header, CLAIMS, key_store.private_key(ours), algorithms=["RS512"])) is None


def test_token_with_another_algorithm_is_rejected_before_decoding(monkeypatch):
    """RFC 8725, section 3.1: each key is used with one algorithm."""
    token = with_header(keys.sign(CLAIMS, "RS256"), alg="RS512")
    monkeypatch.setattr(jose.jwt, "decode", lambda *_, **__: pytest.fail("verified"))
    assert keys.verify(token) is None


def test_tampered_token_is_rejected():
    header, payload, signature = keys.sign(CLAIMS, "RS256").split(".")
    changed = base64.urlsafe_b64encode(orjson.dumps(CLAIMS | {"sub": "eve"})).rstrip(b"=").decode()
    assert keys.verify(f"{header}.{payload}.{signature}") == CLAIMS
    assert keys.verify(f"{header}.{changed}.{signature}") is None
    assert keys.verify(f"{header}.{payload}.{signature[:-4]}AAAA") is None
    assert keys.verify(f"{header}.{payload}.{signature}.{signature}") is None
    assert keys.verify(f" {header}.{payload}.{signature}") is None


@pytest.mark.parametrize(
    "header",
    [
        {"crit": 5},
        {"crit": [["b64"]]},
        {"b64": False},
        {"jwk": {"kty": "oct"}},
        {"x5c": 1},
        {"kid": 1},
        {"kid": None},
        {"kid": ["a"]},
        {"alg": None},
        {"alg": {"a": 1}},
        {"typ": 1},
    ],
)
def test_unexpected_token_header_is_rejected(header):
    assert keys.verify(with_header(keys.sign(CLAIMS, "ES256"), **header)) is None


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a", "a.b.c", "e30.e30.", "W10.e30.", "bnVsbA.e30.", "ImFsZyI.e30.x", "\x00", "é.é.é", "\ud800..",
     "eyJhbGciOiJSUzI1NiJ9.e30.x", "[" * 500, "a" * 1_000_000, "." * 1_000_000, "e30." + "a" * 1_000_000 + ".a"],
)  # fmt: skip
def test_malformed_token_is_rejected(text):
    assert keys.verify(text) is None


def test_oversized_token_is_rejected_before_decoding(monkeypatch):
    monkeypatch.setattr(keys, "urlsafe_b64decode", lambda text: pytest.fail("decoded"))
    assert keys.verify("a" * 1_000_000) is None


@pytest.mark.both_databases
def test_malformed_kid_runs_no_query(statements):
    token = keys.sign(CLAIMS, "ES256")
    with statements() as seen:
        assert keys.verify(with_header(token, kid="a" * 42)) is None
        assert keys.verify(with_header(token, kid="a" * 10_000)) is None
    assert seen == []
    with statements() as seen:
        assert keys.verify(with_header(token, kid="a" * 43)) is None
    assert len(seen) == 1


# --- rows ---------------------------------------------------------------------------------------


def test_private_key_is_encrypted_for_its_row(rows):
    keys.create_missing_key()
    [row] = rows(SigningKey)
    assert row.sealed_private.startswith("v1.")
    assert key_store.private_key(row).thumbprint() == row.kid
    moved = SigningKey(alg=row.alg, number=2, kid="another", sealed_private=row.sealed_private)
    with pytest.raises(DecryptionError):
        key_store.private_key(moved)


@pytest.mark.both_databases
def test_key_rows_are_cached_for_ten_seconds(clock, statements):
    token = keys.sign(CLAIMS, "RS256")
    with statements() as seen:
        for _ in range(3):
            keys.verify(keys.sign(CLAIMS, "RS256"))
        assert seen == []
        clock.shift(11)
        for _ in range(3):
            keys.verify(token)
            keys.sign(CLAIMS, "RS256")
    assert len(seen) == 1


@pytest.mark.both_databases
def test_first_key_of_a_rolled_back_transaction_is_discarded(rows):
    db.session.add(SigningKey(alg="x", number=1, kid="x", public={}, sealed_private="", signs_from=keys.clock.now()))
    db.session.flush()
    lost = keys.sign(CLAIMS, "ES256")
    assert keys.verify(lost) == CLAIMS
    db.session.rollback()
    token = keys.sign(CLAIMS, "ES256")
    assert [row.kid for row in rows(SigningKey)] == [header_of(token)["kid"]]
    assert header_of(lost)["kid"] != header_of(token)["kid"]


def test_first_key_signs_even_if_the_clock_is_behind(clock):
    with clock.travel(60):
        token = keys.sign(CLAIMS, "ES256")
    assert header_of(keys.sign(CLAIMS, "ES256"))["kid"] == header_of(token)["kid"]


def test_next_key_is_published_at_least_a_day_before_it_signs(rows):
    keys.public_set()
    first, following = rows(SigningKey, alg="ES256")
    assert following.signs_from - first.signs_from == timedelta(days=90)
    assert following.signs_from - following.created_at >= keys.PUBLICATION_LEAD
