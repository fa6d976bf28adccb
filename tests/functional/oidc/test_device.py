"""A device gets its tokens by a code that its person types elsewhere (RFC 8628): the two endpoints that it calls."""

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
    """A device's app, which can keep no secret."""
    return tv(app)


def error_of(response) -> tuple[int, str]:
    """Return status and code of a refusal, which nobody keeps."""
    assert response.headers["Cache-Control"] == "no-store"
    return response.status_code, response.json["error"]


# --- the device asks ----------------------------------------------------------------------------


def test_a_device_is_told_its_codes_and_where_to_send_its_person(party):
    response = party.post(ENDPOINT, scope="openid email")
    assert (response.status_code, response.headers["Cache-Control"]) == (200, "no-store")
    told = response.json
    assert (told["expires_in"], told["interval"]) == (600, 5)
    assert told["verification_uri"] == f"{ISSUER}/device"
    assert told["verification_uri_complete"] == f"{ISSUER}/device?user_code={told['user_code']}"
    assert re.fullmatch("[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", told["user_code"])
    assert re.fullmatch("[A-Za-z0-9_-]{43}", told["device_code"])


def test_neither_code_is_stored(party, rows, app):
    from app.crypto import secrets
    from app.oidc.models import DeviceRequest

    told = Device(party).told
    (row,) = rows(DeviceRequest)
    stored = str([getattr(row, column.key) for column in DeviceRequest.__table__.columns])
    typed = told["user_code"].replace("-", "")
    assert not [code for code in (told["device_code"], told["user_code"], typed) if code in stored]
    assert row.device_digest == secrets.digest(told["device_code"])
    assert row.user_code_digest not in (secrets.digest(typed), secrets.digest(told["user_code"]))


def test_it_is_stored_what_the_device_asks_for_and_from_where(party, rows):
    from app.oidc.models import DeviceRequest

    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    Device(party, headers={"User-Agent": agent}, scope="email openid unheard_of")
    (row,) = rows(DeviceRequest)
    assert (row.client_id, row.scopes, row.agent, row.address) == (
        "tv", "openid email", "Firefox on Linux", "127.0.0.1",
    )  # fmt: skip


def test_a_code_that_another_device_shows_is_not_given_again(party, monkeypatch):
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
def test_what_can_not_be_asked_for_is_refused_and_nothing_stored(app, rows, different, error):
    from app.oidc.models import DeviceRequest

    party = tv(app, resources=["https://api.example.com"])
    assert error_of(party.post(ENDPOINT, **({"scope": "openid"} | different))) == (400, error)
    assert rows(DeviceRequest) == []


def test_another_body_than_a_form_is_refused(party):
    body = {"client_id": "tv", "scope": "openid"}
    assert error_of(party.http.post(ENDPOINT, json=body)) == (400, "invalid_request")
    assert error_of(party.http.post(f"{ENDPOINT}?client_id=tv&scope=openid")) == (400, "invalid_request")
    assert error_of(party.http.get(ENDPOINT)) == (405, "invalid_request")


@pytest.mark.parametrize("client_id", [None, "", "nobody", "t\x00v", "x" * 300, "TV"])
def test_a_client_that_there_is_not_gets_no_codes(party, client_id):
    status, error = error_of(party.post(ENDPOINT, auth=False, client_id=client_id, scope="openid"))
    assert (status, error) in ((401, "invalid_client"), (400, "invalid_request"))


def test_a_client_with_a_secret_authenticates_as_at_the_token_endpoint(app):
    party = tv(app, "printer", public=False)
    assert Device(party).told["interval"] == 5
    for headers, fields in (({}, {"client_id": "printer"}), (basic("printer", "wrong"), {})):
        response = party.post(ENDPOINT, auth=False, headers=headers, scope="openid", **fields)
        assert error_of(response) == (401, "invalid_client")


def test_an_assertion_may_name_the_endpoint_as_its_audience(app):
    signer = Signer()
    party = tv(app, "signs", public=False, auth_method="private_key_jwt", jwks=signer.jwks)
    for audience in (f"{ISSUER}{ENDPOINT}", ISSUER):
        assertion = signer.sign("signs", aud=audience)
        assert party.post(ENDPOINT, auth=False, scope="openid", **assertion).status_code == 200


def test_a_client_of_another_grant_gets_no_codes(app):
    assert error_of(register(app).post(ENDPOINT, scope="openid")) == (400, "unauthorized_client")


@pytest.mark.settings(exchanges_per_address=3)
def test_public_clients_ask_so_often_from_one_address(app, party):
    assert [party.post(ENDPOINT, scope="openid").status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = party.post(ENDPOINT, scope="openid")
    assert error_of(refused) == (429, "temporarily_unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    assert Device(tv(app, "printer", public=False)).user_code


# --- the device polls ---------------------------------------------------------------------------


def test_it_waits_until_its_person_allows_it_and_then_signs_them_in(party, browser, ada, clock, rows):
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


def test_a_device_that_is_too_fast_is_told_to_wait_longer_each_time(party, clock, rows):
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


def test_a_poll_may_come_a_second_early(party, clock):
    device = Device(party)
    assert device.error() == "authorization_pending"
    clock.shift(4)
    assert device.error() == "authorization_pending"
    clock.shift(3)
    assert device.error() == "slow_down"


def test_the_interval_grows_to_a_minute_and_no_further(party, clock, rows):
    from app.oidc.models import DeviceRequest

    device = Device(party)
    for _ in range(15):
        device.poll()
    assert rows(DeviceRequest)[0].interval == 60
    clock.shift(58)
    assert device.error() == "slow_down"
    clock.shift(59)
    assert device.error() == "authorization_pending"


def test_a_decision_is_answered_however_fast_it_is_asked_for(party, browser):
    device, refused = Device(party), Device(party)
    for each in (device, refused):
        each.poll()
    decide(browser, device)
    decide(browser, refused, "no")
    assert device.tokens()["access_token"]
    assert refused.error() == "access_denied"


def test_a_refusal_stays_one(party, browser, clock):
    device = Device(party)
    assert decide(browser, device, "no").ok
    assert [device.error() for _ in range(2)] == ["access_denied"] * 2
    clock.shift(700)
    assert device.error() == "access_denied"


@pytest.mark.parametrize("is_allowed", [True, False])
def test_its_code_expires_after_ten_minutes(party, browser, clock, is_allowed):
    device = Device(party)
    if is_allowed:
        decide(browser, device)
    clock.shift(599)
    assert is_allowed or device.error() == "authorization_pending"
    clock.shift(1)
    assert device.error() == "expired_token"


def test_it_is_deleted_a_day_later(party, clock, app, rows):
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


def test_its_code_works_once(party, browser):
    device = Device(party)
    decide(browser, device)
    tokens = device.tokens()
    assert device.error() == "invalid_grant"
    assert party.userinfo(tokens["access_token"]).status_code == 200


def test_another_clients_code_is_no_code(app, party, browser):
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
def test_a_poll_that_is_none_is_refused(party, different, error):
    assert Device(party).error(**different) == error


def test_what_people_type_gets_no_tokens(party, browser):
    device = Device(party)
    decide(browser, device)
    assert device.error(device_code=device.user_code) == "invalid_grant"


def test_a_client_that_lost_the_grant_gets_no_tokens(app, party, browser):
    from app.extensions import db
    from app.oidc.models import OAuthClient

    device = Device(party)
    decide(browser, device)
    with app.app_context():
        row = db.session.get(OAuthClient, "tv")
        row.registered = row.registered | {"grant_types": ["refresh_token"]}
        db.session.commit()
    assert device.error() == "unauthorized_client"


def test_a_poll_costs_two_statements(party, statements):
    device = Device(party)
    with statements() as counted:
        assert device.error() == "authorization_pending"
    assert len(counted) == 2, counted  # the client, and its request


# --- what the tokens hang on --------------------------------------------------------------------


def test_a_session_that_ended_meanwhile_gives_no_tokens(party, browser):
    device = Device(party, scope="openid offline_access")
    decide(browser, device)
    assert browser.post("/logout").status in (200, 302)
    assert device.error() == "invalid_grant"


def test_tokens_end_with_the_session_that_allowed_them(party, browser):
    device = Device(party)
    decide(browser, device)
    tokens = device.tokens()
    browser.post("/logout")
    assert party.userinfo(tokens["access_token"]).status_code == 401
    assert party.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"


def test_offline_access_outlives_the_session(party, browser, ada):
    device = Device(party, scope="openid email offline_access")
    decide(browser, device)
    tokens = device.tokens()
    browser.post("/logout")
    newer = party.refresh(tokens["refresh_token"]).json
    assert party.userinfo(newer["access_token"]).json["email"] == ada.email


def test_an_account_that_is_closed_gets_no_tokens(app, party, browser, ada):
    from app.extensions import db
    from app.users import User

    device = Device(party)
    decide(browser, device)
    with app.app_context():
        user = db.session.get(User, ada.id)
        user.disabled_at = user.created_at
        db.session.commit()
    assert device.error() == "invalid_grant"


def test_an_app_whose_access_was_removed_meanwhile_gets_no_tokens(party, browser):
    device = Device(party)
    decide(browser, device)
    assert browser.post("/apps/remove", client="tv").status == 302
    assert device.error() == "invalid_grant"


def test_what_its_client_may_no_longer_ask_for_is_not_given(app, browser):
    from app.extensions import db
    from app.oidc.models import OAuthClient

    device = Device(tv(app), scope="openid email phone")
    with app.app_context():
        row = db.session.get(OAuthClient, "tv")
        row.registered = row.registered | {"scopes": ["openid", "email"]}
        db.session.commit()
    decide(browser, device)
    assert device.tokens()["scope"] == "openid email"


def test_a_client_without_refresh_tokens_gets_none(app, browser):
    device = Device(tv(app, grant_types=[GRANT]))
    decide(browser, device)
    assert "refresh_token" not in device.tokens()


def test_services_that_it_names_are_those_of_its_tokens(app, browser):
    api = "https://api.example.com"
    device = Device(tv(app, resources=[api, f"{api}/2"]), resource=[api, f"{api}/2"])
    decide(browser, device)
    tokens = device.tokens(resource=api)
    facts = register(app, "api", introspects=True).post("/oauth/introspect", token=tokens["access_token"]).json
    assert facts["aud"] == [api]


# --- keys ---------------------------------------------------------------------------------------


def test_tokens_are_bound_to_the_key_that_it_proves(party, browser):
    key, device = ProofKey(), Device(party)
    assert device.error(headers=key.headers()) == "authorization_pending"
    decide(browser, device)
    tokens = device.tokens(headers=key.headers())
    assert tokens["token_type"] == "DPoP"
    assert party.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"
    assert party.refresh(tokens["refresh_token"], headers=key.headers()).json["token_type"] == "DPoP"


def test_a_key_that_it_proves_when_it_asks_binds_its_code(party, browser):
    key = ProofKey()
    device = Device(party, headers=key.headers(ENDPOINT))
    decide(browser, device)
    assert device.error() == "invalid_grant"
    assert device.error(headers=ProofKey().headers()) == "invalid_grant"
    assert device.tokens(headers=key.headers())["token_type"] == "DPoP"


def test_a_proof_for_another_endpoint_gets_no_codes(party):
    response = party.post(ENDPOINT, headers=ProofKey().headers("/oauth/token"), scope="openid")
    assert error_of(response) == (400, "invalid_dpop_proof")


def test_a_client_that_has_to_send_proofs_polls_with_them(app, browser):
    device = Device(tv(app, require_dpop=True))
    decide(browser, device)
    assert device.error() == "invalid_dpop_proof"
    assert device.tokens(headers=ProofKey().headers())["token_type"] == "DPoP"


# --- what others see of it ----------------------------------------------------------------------


def test_discovery_names_endpoint_and_grant(client):
    for path in ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"):
        metadata = client.get(path).json
        assert metadata["device_authorization_endpoint"] == f"{ISSUER}{ENDPOINT}"
        assert GRANT in metadata["grant_types_supported"]


def test_scripts_of_its_origins_read_what_the_endpoint_answers(app):
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


def test_the_page_address_has_the_code_and_nothing_else(party):
    told = Device(party).told
    assert parse_qs(urlsplit(told["verification_uri_complete"]).query) == {"user_code": [told["user_code"]]}
