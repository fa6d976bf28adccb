"""A device gets tokens with a code entered elsewhere (RFC 8628): the two endpoints that it calls."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.client_rows import Signer, basic
from tests.devices import GRANT, Device, decide, tv
from tests.dpop import ProofKey
from tests.oidc import ISSUER, register

pytestmark = pytest.mark.both_databases

ENDPOINT = "/oauth/device"


@pytest.fixture
def party(app):
    """A device's app, a public client."""
    return tv(app)


def error_of(response) -> tuple[int, str]:
    """Return status and code of an uncacheable error."""
    assert response.headers["Cache-Control"] == "no-store"
    return response.status_code, response.json["error"]


# --- the device asks ----------------------------------------------------------------------------


def test_device_authorization_response_has_codes_and_verification_uris(party):
    response = party.post(ENDPOINT, scope="openid email")
    assert (response.status_code, response.headers["Cache-Control"]) == (200, "no-store")
    told = response.json
    assert (told["expires_in"], told["interval"]) == (600, 5)
    assert told["verification_uri"] == f"{ISSUER}/device"
    assert told["verification_uri_complete"] == f"{ISSUER}/device?user_code={told['user_code']}"
    assert re.fullmatch("[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", told["user_code"])
    assert re.fullmatch("[A-Za-z0-9_-]{43}", told["device_code"])


def test_device_and_user_codes_are_stored_only_as_digests(party, rows, app):
    from app.crypto import secrets
    from app.oidc.models import DeviceRequest

    told = Device(party).told
    (row,) = rows(DeviceRequest)
    stored = str([getattr(row, column.key) for column in DeviceRequest.__table__.columns])
    typed = told["user_code"].replace("-", "")
    assert not [code for code in (told["device_code"], told["user_code"], typed) if code in stored]
    assert row.device_digest == secrets.digest(told["device_code"])
    assert row.user_code_digest not in (secrets.digest(typed), secrets.digest(told["user_code"]))


def test_device_request_stores_known_scopes_agent_and_address(party, rows):
    from app.oidc.models import DeviceRequest

    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    Device(party, headers={"User-Agent": agent}, scope="email openid unheard_of")
    (row,) = rows(DeviceRequest)
    assert (row.client_id, row.scopes, row.agent, row.address) == (
        "tv", "openid email", "Firefox on Linux", "127.0.0.1",
    )  # fmt: skip


def test_user_code_collision_draws_a_new_code(party, monkeypatch):
    from app.crypto import secrets

    drawn = iter(["BBBBBBBB", "BBBBBBBB", "CCCCCCCC"])
    monkeypatch.setattr(secrets, "consonants", lambda length: next(drawn))
    assert [Device(party).user_code for _ in range(2)] == ["BBBB-BBBB", "CCCC-CCCC"]


@pytest.mark.parametrize(
    ("different", "error"),
    [
        ({"scope": None}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
        ({"scope": "unheard_of"}, "invalid_scope"),
        ({"scope": ["openid", "email"]}, "invalid_request"),
        ({"scope": "x" * 2049}, "invalid_request"),
        ({"scope": "openid\x00"}, "invalid_request"),
        ({"client_id": ["tv", "tv"]}, "invalid_request"),
        ({"resource": "https://other.example.com"}, "invalid_target"),
        ({"resource": ["https://api.example.com"] * 9}, "invalid_request"),
        ({"dpop_jkt": "short"}, "invalid_request"),
    ],
)
def test_invalid_device_authorization_request_is_rejected_and_not_stored(app, rows, different, error):
    from app.oidc.models import DeviceRequest

    party = tv(app, resources=["https://api.example.com"])
    assert error_of(party.post(ENDPOINT, **({"scope": "openid"} | different))) == (400, error)
    assert rows(DeviceRequest) == []


def test_device_authorization_accepts_only_form_posts(party):
    body = {"client_id": "tv", "scope": "openid"}
    assert error_of(party.http.post(ENDPOINT, json=body)) == (400, "invalid_request")
    assert error_of(party.http.post(f"{ENDPOINT}?client_id=tv&scope=openid")) == (400, "invalid_request")
    assert error_of(party.http.get(ENDPOINT)) == (405, "invalid_request")


@pytest.mark.parametrize("client_id", [None, "", "nobody", "t\x00v", "x" * 300, "TV"])
def test_unknown_client_gets_no_device_code(party, client_id):
    status, error = error_of(party.post(ENDPOINT, auth=False, client_id=client_id, scope="openid"))
    assert (status, error) in ((401, "invalid_client"), (400, "invalid_request"))


def test_confidential_client_must_authenticate_at_device_endpoint(app):
    party = tv(app, "printer", public=False)
    assert Device(party).told["interval"] == 5
    for headers, fields in (({}, {"client_id": "printer"}), (basic("printer", "wrong"), {})):
        response = party.post(ENDPOINT, auth=False, headers=headers, scope="openid", **fields)
        assert error_of(response) == (401, "invalid_client")


def test_client_assertion_audience_may_be_device_endpoint_or_issuer(app):
    signer = Signer()
    party = tv(app, "signs", public=False, auth_method="private_key_jwt", jwks=signer.jwks)
    for audience in (f"{ISSUER}{ENDPOINT}", ISSUER):
        assertion = signer.sign("signs", aud=audience)
        assert party.post(ENDPOINT, auth=False, scope="openid", **assertion).status_code == 200


def test_client_without_device_grant_gets_no_device_code(app):
    assert error_of(register(app).post(ENDPOINT, scope="openid")) == (400, "unauthorized_client")


@pytest.mark.settings(exchanges_per_address=3)
def test_device_requests_of_public_clients_are_rate_limited_per_ip_address(app, party):
    assert [party.post(ENDPOINT, scope="openid").status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = party.post(ENDPOINT, scope="openid")
    assert error_of(refused) == (429, "temporarily_unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    assert Device(tv(app, "printer", public=False)).user_code


# --- the device polls ---------------------------------------------------------------------------


def test_device_poll_is_pending_until_user_allows_then_returns_tokens(party, browser, ada, clock, rows):
    device = Device(party, scope="openid email")
    assert device.error() == "authorization_pending"
    assert decide(browser, device).ok
    tokens = device.tokens()
    assert (tokens["token_type"], tokens["scope"]) == ("Bearer", "openid email")
    claims = party.claims(tokens["id_token"])
    assert (claims["aud"], claims["acr"], claims["amr"]) == ("tv", "aal1", ["otp"])
    assert "nonce" not in claims
    assert party.userinfo(tokens["access_token"]).json["email"] == ada.email
    newer = party.refresh(tokens["refresh_token"]).json
    assert party.userinfo(newer["access_token"]).json["sub"] == claims["sub"]


def test_each_too_early_poll_raises_the_interval_by_five_seconds(party, clock, rows):
    from app.oidc.models import DeviceRequest

    device, said = Device(party), []
    for seconds in (0, 1, 9, 10, 14, 15, 30):
        clock.shift(seconds)
        said.append((seconds, device.error(), rows(DeviceRequest)[0].interval))
    assert said == [
        (0, "authorization_pending", 5),
        (1, "slow_down", 10),
        (9, "authorization_pending", 10),
        (10, "authorization_pending", 10),
        (14, "authorization_pending", 10),
        (15, "authorization_pending", 10),
        (30, "authorization_pending", 10),
    ]
    clock.shift(8)
    assert (device.error(), rows(DeviceRequest)[0].interval) == ("slow_down", 15)
    clock.shift(13)
    assert (device.error(), rows(DeviceRequest)[0].interval) == ("slow_down", 20)
    clock.shift(19)
    assert device.error() == "authorization_pending"


def test_poll_one_second_early_is_tolerated(party, clock):
    device = Device(party)
    assert device.error() == "authorization_pending"
    clock.shift(4)
    assert device.error() == "authorization_pending"
    clock.shift(3)
    assert device.error() == "slow_down"


def test_poll_interval_is_capped_at_one_minute(party, clock, rows):
    from app.oidc.models import DeviceRequest

    device = Device(party)
    for _ in range(15):
        device.poll()
    assert rows(DeviceRequest)[0].interval == 60
    clock.shift(58)
    assert device.error() == "slow_down"
    clock.shift(59)
    assert device.error() == "authorization_pending"


def test_early_poll_after_the_decision_is_not_slowed_down(party, browser):
    device, refused = Device(party), Device(party)
    for each in (device, refused):
        each.poll()
    decide(browser, device)
    decide(browser, refused, "no")
    assert device.tokens()["access_token"]
    assert refused.error() == "access_denied"


def test_denied_device_stays_denied_after_expiry(party, browser, clock):
    device = Device(party)
    assert decide(browser, device, "no").ok
    assert [device.error() for _ in range(2)] == ["access_denied"] * 2
    clock.shift(700)
    assert device.error() == "access_denied"


@pytest.mark.parametrize("is_allowed", [True, False])
def test_device_code_expires_after_ten_minutes(party, browser, clock, is_allowed):
    device = Device(party)
    if is_allowed:
        decide(browser, device)
    clock.shift(599)
    assert is_allowed or device.error() == "authorization_pending"
    clock.shift(1)
    assert device.error() == "expired_token"


def test_device_request_is_pruned_after_a_day(party, clock, app, rows):
    from app.oidc.cleanup import prune_devices
    from app.oidc.models import DeviceRequest

    device = Device(party)
    clock.shift(86_000)
    with app.app_context():
        assert prune_devices() == 0
    clock.shift(1_200)
    with app.app_context():
        assert prune_devices() == 1
    assert rows(DeviceRequest) == []
    assert device.error() == "invalid_grant"


def test_device_code_can_be_redeemed_only_once(party, browser):
    device = Device(party)
    decide(browser, device)
    tokens = device.tokens()
    assert device.error() == "invalid_grant"
    assert party.userinfo(tokens["access_token"]).status_code == 200


def test_device_code_of_another_client_is_rejected(app, party, browser):
    other = tv(app, "radio")
    device = Device(party)
    decide(browser, device)
    stolen = other.post("/oauth/token", grant_type=GRANT, device_code=device.told["device_code"])
    assert error_of(stolen) == (400, "invalid_grant")
    assert device.tokens()["access_token"]


@pytest.mark.parametrize(
    ("different", "error"),
    [
        ({"device_code": None}, "invalid_request"),
        ({"device_code": ""}, "invalid_request"),
        ({"device_code": "x"}, "invalid_grant"),
        ({"device_code": "x" * 2049}, "invalid_request"),
        ({"device_code": "x\x00"}, "invalid_request"),
        ({"device_code": ["x", "y"]}, "invalid_request"),
        ({"grant_type": "device_code"}, "unsupported_grant_type"),
        ({"grant_type": [GRANT, GRANT]}, "invalid_request"),
        ({"grant_type": GRANT.upper()}, "unsupported_grant_type"),
    ],
)
def test_malformed_poll_is_rejected(party, different, error):
    assert Device(party).error(**different) == error


def test_user_code_is_not_accepted_as_device_code(party, browser):
    device = Device(party)
    decide(browser, device)
    assert device.error(device_code=device.user_code) == "invalid_grant"


def test_client_that_lost_the_device_grant_gets_no_tokens(app, party, browser):
    from app.extensions import db
    from app.oidc.models import OAuthClient

    device = Device(party)
    decide(browser, device)
    with app.app_context():
        row = db.session.get(OAuthClient, "tv")
        row.registered = row.registered | {"grant_types": ["refresh_token"]}
        db.session.commit()
    assert device.error() == "unauthorized_client"


def test_poll_runs_two_queries(party, statements):
    device = Device(party)
    with statements() as counted:
        assert device.error() == "authorization_pending"
    assert len(counted) == 2, counted  # the client, and its request


# --- what the tokens hang on --------------------------------------------------------------------


def test_logout_before_the_poll_yields_no_tokens(party, browser):
    device = Device(party, scope="openid offline_access")
    decide(browser, device)
    assert browser.post("/logout").status in (200, 302)
    assert device.error() == "invalid_grant"


def test_device_tokens_are_revoked_with_the_approving_session(party, browser):
    device = Device(party)
    decide(browser, device)
    tokens = device.tokens()
    browser.post("/logout")
    assert party.userinfo(tokens["access_token"]).status_code == 401
    assert party.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"


def test_offline_access_of_device_survives_logout(party, browser, ada):
    device = Device(party, scope="openid email offline_access")
    decide(browser, device)
    tokens = device.tokens()
    browser.post("/logout")
    newer = party.refresh(tokens["refresh_token"]).json
    assert party.userinfo(newer["access_token"]).json["email"] == ada.email


def test_disabled_account_gets_no_device_tokens(app, party, browser, ada):
    from app.extensions import db
    from app.users import User

    device = Device(party)
    decide(browser, device)
    with app.app_context():
        user = db.session.get(User, ada.id)
        user.disabled_at = user.created_at
        db.session.commit()
    assert device.error() == "invalid_grant"


def test_removing_app_access_before_the_poll_yields_no_tokens(party, browser):
    device = Device(party)
    decide(browser, device)
    assert browser.post("/apps/remove", client="tv").status == 302
    assert device.error() == "invalid_grant"


def test_scope_the_client_lost_is_not_granted_to_the_device(app, browser):
    from app.extensions import db
    from app.oidc.models import OAuthClient

    device = Device(tv(app), scope="openid email phone")
    with app.app_context():
        row = db.session.get(OAuthClient, "tv")
        row.registered = row.registered | {"scopes": ["openid", "email"]}
        db.session.commit()
    decide(browser, device)
    assert device.tokens()["scope"] == "openid email"


def test_device_client_without_refresh_grant_gets_no_refresh_token(app, browser):
    device = Device(tv(app, grant_types=[GRANT]))
    decide(browser, device)
    assert "refresh_token" not in device.tokens()


def test_requested_resource_becomes_the_token_audience(app, browser):
    api = "https://api.example.com"
    device = Device(tv(app, resources=[api, f"{api}/2"]), resource=[api, f"{api}/2"])
    decide(browser, device)
    tokens = device.tokens(resource=api)
    facts = register(app, "api", introspects=True).post("/oauth/introspect", token=tokens["access_token"]).json
    assert facts["aud"] == [api]


# --- keys ---------------------------------------------------------------------------------------


def test_device_tokens_are_bound_to_the_dpop_key(party, browser):
    key, device = ProofKey(), Device(party)
    assert device.error(headers=key.headers()) == "authorization_pending"
    decide(browser, device)
    tokens = device.tokens(headers=key.headers())
    assert tokens["token_type"] == "DPoP"
    assert party.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"
    assert party.refresh(tokens["refresh_token"], headers=key.headers()).json["token_type"] == "DPoP"


def test_dpop_proof_at_device_endpoint_binds_the_device_code(party, browser):
    key = ProofKey()
    device = Device(party, headers=key.headers(ENDPOINT))
    decide(browser, device)
    assert device.error() == "invalid_grant"
    assert device.error(headers=ProofKey().headers()) == "invalid_grant"
    assert device.tokens(headers=key.headers())["token_type"] == "DPoP"


def test_dpop_proof_for_another_endpoint_gets_no_device_code(party):
    response = party.post(ENDPOINT, headers=ProofKey().headers("/oauth/token"), scope="openid")
    assert error_of(response) == (400, "invalid_dpop_proof")


def test_client_requiring_dpop_must_poll_with_a_proof(app, browser):
    device = Device(tv(app, require_dpop=True))
    decide(browser, device)
    assert device.error() == "invalid_dpop_proof"
    assert device.tokens(headers=ProofKey().headers())["token_type"] == "DPoP"


# --- what others see of it ----------------------------------------------------------------------


def test_discovery_announces_device_endpoint_and_grant(client):
    for path in ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"):
        metadata = client.get(path).json
        assert metadata["device_authorization_endpoint"] == f"{ISSUER}{ENDPOINT}"
        assert GRANT in metadata["grant_types_supported"]


def test_device_endpoint_allows_cors_from_registered_origins_only(app):
    from app.extensions import db
    from app.oidc.client_store import change
    from app.oidc.clients import find_client

    party = tv(app, origins=["https://spa.example.com"])
    with app.app_context():
        change(find_client("tv"), by="operator")
        db.session.commit()
    for origin, allowed in (("https://spa.example.com", "https://spa.example.com"), ("https://evil.example", None)):
        response = party.post(ENDPOINT, headers={"Origin": origin}, scope="openid")
        assert response.headers.get("Access-Control-Allow-Origin") == allowed


def test_verification_uri_complete_contains_only_the_user_code(party):
    told = Device(party).told
    assert parse_qs(urlsplit(told["verification_uri_complete"]).query) == {"user_code": [told["user_code"]]}
