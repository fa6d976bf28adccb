"""Client authentication: every method, invalid attempts, and their limit."""

from __future__ import annotations

import base64
import hmac
import time
from dataclasses import dataclass

import pytest

from app.audit import Event
from app.oidc.models import UsedProof
from tests.client_rows import ASSERTION_TYPE, SECRET, Signer, basic, register

WRONG = "not-the-secret-of-the-app-0123456789abcdef"


@dataclass
class Outcome:
    """The client that was authenticated, or the error."""

    client: str = ""
    status: int = 200
    error: str = ""
    challenge: str = ""
    retry_after: int = 0


@pytest.fixture
def ask(app):
    """Authenticates a request: ``ask(basic("app"), client_id="app")``."""

    def send(headers=None, *, address="192.0.2.7", **fields) -> Outcome:
        from app.extensions import db
        from app.oidc.client_auth import authenticate
        from app.oidc.errors import OAuthError

        of_request = {"method": "POST", "headers": headers or {}, "environ_base": {"REMOTE_ADDR": address}}
        with app.test_request_context("/oauth/token", **of_request):
            app.preprocess_request()
            try:
                outcome = Outcome(authenticate(fields).id)
            except OAuthError as refused:
                outcome = Outcome("", refused.status, refused.code, refused.challenge, refused.retry_after)
            db.session.commit()
            return outcome

    return send


def in_header(text: str | bytes) -> dict[str, str]:
    raw = text if isinstance(text, bytes) else text.encode()
    return {"Authorization": "Basic " + base64.b64encode(raw).decode()}


# --- a secret -----------------------------------------------------------------------------------


def test_client_secret_is_accepted_in_header_and_body(app, ask):
    register(app)
    assert ask(basic("app")).client == "app"
    assert ask(basic("app"), client_id="app").client == "app"
    assert ask(client_id="app", client_secret=SECRET).client == "app"


def test_registered_auth_method_excludes_others(app, ask):
    register(app, "by-header", auth_method="client_secret_basic")
    register(app, "by-body", auth_method="client_secret_post")
    assert ask(basic("by-header")).client == "by-header"
    assert ask(client_id="by-header", client_secret=SECRET).error == "invalid_client"
    assert ask(client_id="by-body", client_secret=SECRET).client == "by-body"
    assert ask(basic("by-body")).error == "invalid_client"


def test_basic_header_credentials_are_form_decoded(app, ask):
    odd_id, odd_secret = "https://app.example.com/id?a=b:c%", "a b+c:d%41/é=&0123456789"
    register(app, odd_id, secret=odd_secret)
    assert ask(basic(odd_id, odd_secret)).client == odd_id


def test_basic_header_accepts_a_secret_that_is_not_form_encoded(app, ask):
    register(app, secret="a+b%41:0123456789abcdef0123456789")
    assert ask(in_header("app:a+b%41:0123456789abcdef0123456789")).client == "app"


def test_unknown_or_disabled_client_and_wrong_secret_get_the_same_error(app, ask, clock):
    register(app)
    register(app, "disabled", disabled_at=clock.now())
    register(app, "public", auth_method="none")
    register(app, "by-key", secret="", auth_method="private_key_jwt", jwks=Signer().jwks)
    for client_id, secret in (("app", WRONG), ("nobody", SECRET), ("disabled", SECRET), ("public", SECRET),
                              ("by-key", SECRET), ("", SECRET), ("a" * 256, SECRET), ("app\0", SECRET),
                              ("Ä", SECRET), ("app", "x" * 60_000), ("APP", SECRET)):  # fmt: skip
        refused = ask(basic(client_id, secret))
        assert (refused.status, refused.error) == (401, "invalid_client"), client_id
        assert refused.challenge == 'Basic realm="Latchkey", charset="UTF-8"'
        assert ask(client_id=client_id, client_secret=secret) == Outcome("", 401, "invalid_client")


def test_only_public_client_authenticates_without_secret(app, ask):
    register(app)
    register(app, "public", auth_method="none")
    assert ask(client_id="public").client == "public"
    assert ask(client_id="public", client_secret="").client == "public"  # RFC 6749, section 3.2
    assert ask(basic("public", "")).client == "public"  # as oidc-agent does; section 2.3.1
    assert ask(basic("public", "+")).error == ask(basic("app", "")).error == "invalid_client"
    for fields in ({}, {"client_id": ""}, {"client_id": "app"}, {"client_id": "app", "client_secret": ""}):
        assert ask(**fields) == Outcome("", 401, "invalid_client")


@pytest.mark.parametrize("header", [
    "Basic", "Basic ", "Basic ***", "Basic YXBw", "basic YXBw", "Basic YXBw=Og", "Basic /w==",
    "Basic " + base64.b64encode(b"\xff:\xfe").decode(), "Basic " + base64.b64encode(b"app:%ff").decode(),
    "Basic " + base64.b64encode(b":").decode(), "Basic YTpi, Basic YTpi", "Basic é",
])  # fmt: skip
def test_malformed_basic_header_is_rejected_with_a_challenge(app, ask, header):
    register(app)
    refused = ask({"Authorization": header})
    assert (refused.status, refused.error, bool(refused.challenge)) == (401, "invalid_client", True)


def test_authorization_header_of_another_scheme_is_ignored(app, ask):
    register(app, "public", auth_method="none")
    assert ask({"Authorization": "Bearer " + SECRET}, client_id="public").client == "public"
    assert ask({"Authorization": "Bearer " + SECRET}).error == "invalid_client"


def test_request_with_two_auth_methods_is_rejected(app, ask):
    register(app)
    signed = Signer().sign("app")
    for headers, fields in (
        (basic("app"), {"client_secret": SECRET}),
        (basic("app"), signed),
        (basic("app"), {"client_assertion_type": ASSERTION_TYPE}),
        ({}, {"client_id": "app", "client_secret": SECRET} | signed),
    ):
        assert (ask(headers, **fields).status, ask(headers, **fields).error) == (400, "invalid_request")


def test_client_id_in_body_must_match_the_authenticated_client(app, ask):
    register(app)
    register(app, "other")
    assert ask(basic("app"), client_id="other").error == "invalid_request"
    assert ask(client_id="other", **Signer().sign("app")).error == "invalid_request"


def test_previous_secret_is_accepted_until_it_expires(app, ask, clock):
    from datetime import timedelta

    from app.crypto import secrets

    register(app, old_secret_digest=secrets.digest(WRONG), old_secret_until=clock.now() + timedelta(hours=24))
    assert ask(basic("app", WRONG)).client == ask(basic("app")).client == "app"
    clock.shift(24 * 3600 + 1)
    assert ask(basic("app", WRONG)).error == "invalid_client"
    assert ask(basic("app")).client == "app"


@pytest.mark.both_databases
def test_client_authentication_runs_one_query(app, ask, statements):
    register(app)
    ask(basic("app"))
    with statements() as seen:
        ask(basic("app"))
    assert len(seen) == 1, seen


# --- failures are counted -----------------------------------------------------------------------


@pytest.mark.both_databases
@pytest.mark.settings(failures_per_address=3)
def test_failed_client_auth_is_rate_limited_per_ip_address(app, ask, rows):
    register(app)
    assert [ask(basic("app", WRONG)).status for _ in range(5)] == [401, 401, 401, 429, 429]
    full = ask(basic("app"))
    assert (full.client, full.status, full.error) == ("", 429, "temporarily_unavailable")
    assert 0 < full.retry_after <= 601
    assert ask(client_id="app", client_secret=SECRET).status == 429
    assert ask(basic("app"), address="192.0.2.8").client == "app"
    assert [event.facts["limit"] for event in rows(Event, name="limit.hit")] == ["clients"]


@pytest.mark.settings(failures_per_address=3)
def test_failures_of_one_client_do_not_block_other_clients_or_users(app, ask, wire, people, mail_to):
    from tests.sinks import code_in

    register(app)
    register(app, "broken")
    assert [ask(basic("broken", WRONG), address="127.0.0.1").status for _ in range(4)] == [401, 401, 401, 429]
    assert ask(basic("app"), address="127.0.0.1").client == "app"
    ada = people.open("ada@example.com")
    wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    assert wire.post("/us-signin", identity=ada.email, passcode=code_in(mail_to(ada.email))).ok


def test_ip_address_penalty_does_not_block_clients(app, ask):
    from app import throttling
    from app.extensions import db

    register(app)
    with app.app_context():
        throttling.penalize("192.0.2.7")
        db.session.commit()
    assert ask(basic("app")).client == "app"
    assert ask(basic("app", WRONG)).status == 401


@pytest.mark.settings(failures_per_address=3)
def test_successful_client_auth_is_not_rate_limited(app, ask):
    register(app)
    assert {ask(basic("app")).status for _ in range(8)} == {200}


def test_failed_client_auth_is_audited_once_with_its_reason(app, ask, rows):
    register(app)
    for _ in range(3):
        ask(basic("app", WRONG))
        ask(client_id="app")
    for number in range(3):
        ask(basic(f"made-up-{number}", WRONG))
    found = [(event.facts["client"], event.facts["method"], event.facts["reason"]) for event in rows(Event)]
    assert found == [
        ("app", "client_secret_basic", "secret"),
        ("app", "none", "method"),
        ("made-up-0", "client_secret_basic", "unknown"),
    ]
    assert WRONG not in repr([event.facts for event in rows(Event)])


# --- a signed assertion (RFC 7523) --------------------------------------------------------------


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"])
def test_client_assertion_is_accepted_only_once(app, ask, rows, alg):
    signer = Signer(alg)
    register(app, secret="", auth_method="private_key_jwt", jwks=signer.jwks)
    signed = signer.sign("app")
    assert ask(**signed).client == "app"
    assert ask(**signed).error == "invalid_client"
    assert ask(client_id="app", **signer.sign("app")).client == "app"
    assert len(rows(UsedProof)) == 2


@pytest.mark.parametrize("aud", [
    "http://localhost", "http://localhost/oauth/token", "http://localhost/oauth/par", ["http://localhost"],
    ["http://localhost", "http://localhost/oauth/token"],
])  # fmt: skip
def test_client_assertion_audience_may_be_issuer_or_endpoint(app, ask, aud):
    signer = Signer()
    register(app, secret="", auth_method="private_key_jwt", jwks=signer.jwks)
    assert ask(**signer.sign("app", aud=aud)).client == "app"


NOW = int(time.time())
CLAIMS = {
    "no audience": {"aud": None},
    "audience elsewhere": {"aud": "https://other.example.com"},
    "audience with another": {"aud": ["http://localhost", "https://other.example.com"]},
    "audience of nobody": {"aud": []},
    "audience of a wrong type": {"aud": {"http://localhost": 1}},
    "audience as a prefix": {"aud": "http://localhost/"},
    "no issuer": {"iss": None},
    "other issuer": {"iss": "other"},
    "no subject": {"sub": None},
    "other subject": {"sub": "other"},
    "no expiry": {"exp": None},
    "expired": {"exp": NOW - 31},
    "expires too late": {"exp": NOW + 3600},
    "expiry as text": {"exp": str(NOW + 60)},
    "expiry true": {"exp": True},
    "not yet": {"nbf": NOW + 3600},
    "of the future": {"iat": NOW + 3600},
    "no id": {"jti": None},
    "empty id": {"jti": ""},
    "long id": {"jti": "x" * 256},
    "id of a wrong type": {"jti": 7},
}


@pytest.mark.one_database
@pytest.mark.parametrize("claims", CLAIMS.values(), ids=CLAIMS)
def test_client_assertion_with_invalid_claims_is_rejected(app, ask, rows, claims):
    signer = Signer()
    register(app, secret="", auth_method="private_key_jwt", jwks=signer.jwks)
    refused = ask(**signer.sign("app", **claims))
    assert (refused.client, refused.status, refused.error) == ("", 401, "invalid_client")
    assert rows(UsedProof) == []


def test_client_assertion_tolerates_small_clock_skew(app, ask):
    signer = Signer()
    register(app, secret="", auth_method="private_key_jwt", jwks=signer.jwks)
    now = int(time.time())
    assert ask(**signer.sign("app", exp=now - 20, iat=now - 80)).client == "app"
    assert ask(**signer.sign("app", exp=now + 310, iat=now + 20, nbf=now + 20)).client == "app"


def test_client_assertion_must_be_signed_with_the_clients_own_key(app, ask):
    signer, other = Signer(), Signer()
    register(app, secret="", auth_method="private_key_jwt", jwks=signer.jwks)
    register(app, "other", secret="", auth_method="private_key_jwt", jwks=other.jwks)
    assert ask(**other.sign("app")).error == "invalid_client"
    assert ask(**other.sign("other")).client == "other"


def test_assertion_key_is_selected_by_kid_or_by_trial(app, ask):
    first, second = Signer(kid="first"), Signer(kid="second")
    keys = {"keys": first.jwks["keys"] + second.jwks["keys"]}
    register(app, secret="", auth_method="private_key_jwt", jwks=keys)
    assert ask(**second.sign("app")).client == "app"
    second.kid = None
    assert ask(**second.sign("app")).client == "app"
    second.kid = "first"
    assert ask(**second.sign("app")).error == "invalid_client"


def test_client_assertion_requires_private_key_jwt_registration(app, ask):
    signer = Signer()
    register(app, "by-secret", jwks=signer.jwks)
    register(app, "public", auth_method="none", jwks=signer.jwks)
    assert ask(**signer.sign("by-secret")).error == "invalid_client"
    assert ask(**signer.sign("public")).error == "invalid_client"


def unsigned(header: str, payload: str = '{"sub":"app","iss":"app"}') -> str:
    parts = [base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in (header, payload)]
    return ".".join([*parts, "AAAA"])


BROKEN = {
    "text": "text",
    "two parts": "a.b",
    "four parts": "a.b.c.d",
    "not ASCII": "é.é.é",
    "no JSON": unsigned("text"),
    "a list": unsigned('["alg"]'),
    "claims are a list": unsigned('{"alg":"ES256"}', "[]"),
    "none": unsigned('{"alg":"none"}'),
    "HS256": unsigned('{"alg":"HS256"}'),
    "alg is a list": unsigned('{"alg":["ES256"]}'),
    "no alg": unsigned("{}"),
    "kid is a list": unsigned('{"alg":"ES256","kid":[]}'),
    "critical": unsigned('{"alg":"ES256","crit":["exp"],"exp":1}'),
    "payload apart": unsigned('{"alg":"ES256","b64":false,"crit":["b64"]}'),
    "deep": unsigned("[" * 3000),
}


@pytest.mark.one_database
@pytest.mark.parametrize("assertion", BROKEN.values(), ids=BROKEN)
def test_malformed_client_assertion_is_rejected(app, ask, assertion):
    register(app, secret="", auth_method="private_key_jwt", jwks=Signer().jwks)
    refused = ask(client_assertion_type=ASSERTION_TYPE, client_assertion=assertion)
    assert (refused.client, refused.status, refused.error) == ("", 401, "invalid_client")


def test_oversized_client_assertion_is_rejected(app, ask):
    signer = Signer()
    register(app, secret="", auth_method="private_key_jwt", jwks=signer.jwks)
    assert ask(**signer.sign("app", more="x" * 4000)).client == "app"
    assert ask(**signer.sign("app", more="x" * 8000)).error == "invalid_client"


def test_assertion_hmac_signed_with_the_public_key_is_rejected(app, ask):
    """The classic confusion: an HMAC over the text of the public key."""
    signer = Signer("RS256")
    register(app, secret="", auth_method="private_key_jwt", jwks=signer.jwks)
    _, claims, _ = signer.sign("app")["client_assertion"].split(".")
    header = unsigned('{"alg":"HS256"}').partition(".")[0]
    mac = hmac.digest(signer.key.as_pem(private=False), f"{header}.{claims}".encode(), "sha256")
    token = f"{header}.{claims}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
    assert ask(client_assertion_type=ASSERTION_TYPE, client_assertion=token).error == "invalid_client"


def test_client_assertion_requires_both_assertion_and_type(app, ask):
    signer = Signer()
    register(app, secret="", auth_method="private_key_jwt", jwks=signer.jwks)
    signed = signer.sign("app")
    for left_out in signed:
        fields = {name: value for name, value in signed.items() if name != left_out}
        assert ask(client_id="app", **fields).error == "invalid_request"
    assert ask(**signed | {"client_assertion_type": "urn:example:other"}).error == "invalid_request"


@pytest.mark.both_databases
def test_concurrent_replay_of_an_assertion_is_accepted_once(app, ask):
    from concurrent.futures import ThreadPoolExecutor

    signer = Signer()
    register(app, secret="", auth_method="private_key_jwt", jwks=signer.jwks)
    signed = signer.sign("app")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: ask(**signed).client, range(16)))
    assert sorted(found) == [""] * 15 + ["app"]
