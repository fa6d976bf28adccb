"""Device authorization (RFC 8628): one test for each requirement on the server, by its section."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.conformance.suite import DISCOVERY, check_json
from tests.devices import GRANT, Device, decide, tv
from tests.oidc import ISSUER
from tests.signed_in import sign_in
from tests.wire import Wire

pytestmark = pytest.mark.one_database

ENDPOINT = "/oauth/device"


@pytest.fixture
def party(app):
    """A public client."""
    return tv(app)


@pytest.fixture
def confidential(app):
    """A client with a secret."""
    return tv(app, "printer", public=False)


@pytest.fixture
def hers(app, ada) -> Wire:
    """Ada's browser, signed in."""
    return sign_in(Wire(app, "form"), ada)


# --- 3.1: the request ---------------------------------------------------------------------------


def test_confidential_client_must_authenticate(confidential):
    """3.1: the requirements of RFC 6749, section 3.2.1, apply."""
    response = confidential.post(ENDPOINT, auth=False, client_id="printer", scope="openid")
    assert (response.status_code, response.json["error"]) == (401, "invalid_client")
    assert confidential.post(ENDPOINT, scope="openid").status_code == 200


def test_public_client_must_send_client_id(party):
    """3.1: ``client_id`` is REQUIRED if the client is not authenticating."""
    response = party.post(ENDPOINT, auth=False, scope="openid")
    assert (response.status_code, response.json["error"]) == (401, "invalid_client")


def test_missing_scope_returns_invalid_scope(party):
    """3.1, and RFC 6749, section 3.3: a default, or a failure that says ``invalid_scope``."""
    response = party.post(ENDPOINT)
    assert (response.status_code, response.json["error"]) == (400, "invalid_scope")


def test_empty_parameter_is_treated_as_omitted(party):
    """3.1: MUST be treated as if it were omitted."""
    assert party.post(ENDPOINT, scope="openid", resource="", dpop_jkt="").status_code == 200


def test_unknown_parameter_is_ignored(party):
    """3.1: MUST ignore unrecognized request parameters."""
    assert party.post(ENDPOINT, scope="openid", nonce="x", audience="y").status_code == 200


@pytest.mark.parametrize("name", ["client_id", "scope", "dpop_jkt", "unheard_of"])
def test_repeated_parameter_is_rejected(party, name):
    """3.1: MUST NOT be included more than once."""
    fields = {"client_id": "tv", "scope": "openid"}
    response = party.post(ENDPOINT, **(fields | {name: [fields.get(name, "x")] * 2}))
    assert (response.status_code, response.json["error"]) == (400, "invalid_request")


# --- 3.2: the answer ----------------------------------------------------------------------------


def test_response_is_json_and_not_cacheable(party):
    """3.2: ``application/json`` with 200; the answer MUST have ``Cache-Control: no-store``."""
    response = party.post(ENDPOINT, scope="openid")
    assert response.status_code == 200
    check_json(response)
    assert response.headers["Cache-Control"] == "no-store"


def test_response_has_the_required_members(party):
    """3.2: device_code, user_code, verification_uri, expires_in."""
    told = Device(party).told
    assert {"device_code", "user_code", "verification_uri", "expires_in"} <= told.keys()
    assert isinstance(told["expires_in"], int)
    assert isinstance(told["interval"], int)


def test_device_and_user_codes_are_unique(party):
    """3.2: a unique device verification code and an end-user code."""
    told = [Device(party).told for _ in range(20)]
    assert len({each["device_code"] for each in told}) == len({each["user_code"] for each in told}) == 20


def test_verification_uri_is_short_and_has_no_code(party):
    """3.2, 3.3: short and easy to remember, as people type it by hand; the codes MUST NOT be part of it."""
    assert Device(party).told["verification_uri"] == f"{ISSUER}/device"


# --- 3.3: the person ----------------------------------------------------------------------------


def test_user_must_sign_in_before_the_device_page(app, party):
    """3.3: the server prompts the user to authenticate."""
    page = Wire(app, "form").get("/device")
    assert urlsplit(page.location).path in ("/login", "/us-signin")


def test_user_is_asked_to_allow_or_deny(party, hers):
    """3.3: the code is validated, and then the user is prompted to approve or deny."""
    device = Device(party)
    text = hers.post("/device", user_code=device.user_code).text.replace("&#39;", "'")
    assert "Allow" in text
    assert "Don't allow" in text


def test_verification_uri_complete_still_asks_to_compare_the_code(party, hers):
    """3.3.1: the server SHOULD display the code, so that the user verifies that the device shows it too."""
    device = Device(party)
    address = urlsplit(device.told["verification_uri_complete"])
    assert parse_qs(address.query) == {"user_code": [device.user_code]}
    page = hers.get(f"{address.path}?{address.query}")
    assert page.page.value("user_code") == device.user_code
    assert "Check that your device shows exactly this code" in page.text
    assert device.error() == "authorization_pending"


# --- 3.4: the device asks for tokens ------------------------------------------------------------


def test_grant_type_must_be_the_device_code_urn(party, hers):
    """3.4: the value MUST be set to the URN."""
    device = Device(party)
    decide(hers, device)
    assert device.error(grant_type="device_code") == "unsupported_grant_type"
    assert device.tokens(grant_type="urn:ietf:params:oauth:grant-type:device_code")["access_token"]


def test_confidential_client_must_authenticate_when_polling(confidential, hers):
    """3.4: the requirements of RFC 6749, section 3.2.1, apply."""
    device = Device(confidential)
    decide(hers, device)
    fields = {"grant_type": GRANT, "device_code": device.told["device_code"], "client_id": "printer"}
    assert confidential.post("/oauth/token", auth=False, **fields).status_code == 401
    assert device.tokens()["access_token"]


def test_device_code_of_another_client_is_rejected(app, party, hers):
    """3.4: the server MUST verify that the code was issued to this client (RFC 6749, section 5.2)."""
    device = Device(party)
    decide(hers, device)
    other = tv(app, "radio").post("/oauth/token", grant_type=GRANT, device_code=device.told["device_code"])
    assert (other.status_code, other.json["error"]) == (400, "invalid_grant")


# --- 3.5: the answer to it ----------------------------------------------------------------------


def test_successful_poll_is_a_standard_token_response(party, hers):
    """3.5: a success as in RFC 6749, section 5.1."""
    device = Device(party, scope="openid email")
    decide(hers, device)
    response = device.poll()
    check_json(response)
    assert (response.headers["Cache-Control"], response.headers["Pragma"]) == ("no-store", "no-cache")
    assert {"access_token", "token_type", "expires_in", "scope", "refresh_token", "id_token"} == response.json.keys()


def test_authorization_pending(party):
    """3.5: the user hasn't yet completed the interaction."""
    response = Device(party).poll()
    assert (response.status_code, response.json["error"]) == (400, "authorization_pending")


def test_slow_down(party, clock):
    """3.5: the interval MUST be increased by 5 seconds for this and all later requests."""
    device = Device(party)
    said = []
    for seconds in (0, 1, 6, 16, 16):
        clock.shift(seconds)
        said.append(device.error())
    assert said == ["authorization_pending", "slow_down", "slow_down", "authorization_pending", "authorization_pending"]


def test_access_denied(party, hers):
    """3.5: the authorization request was denied."""
    device = Device(party)
    decide(hers, device, "no")
    assert device.error() == "access_denied"


def test_expired_token(party, clock):
    """3.5: the device code has expired, and the session has concluded."""
    device = Device(party)
    clock.shift(device.told["expires_in"])
    assert device.error() == "expired_token"


def test_device_that_respects_the_interval_is_never_slowed_down(party, clock):
    """3.5: it MUST wait at least ``interval`` seconds, and then it is in time."""
    device = Device(party)
    for _ in range(10):
        assert device.error() == "authorization_pending"
        clock.shift(device.told["interval"])


# --- 4 and 5: metadata and security -------------------------------------------------------------


def test_metadata_has_device_endpoint_and_grant(party):
    """4: ``device_authorization_endpoint``; and the grant, by RFC 8414, section 2."""
    metadata = party.http.get(DISCOVERY).json
    assert metadata["device_authorization_endpoint"] == f"{ISSUER}{ENDPOINT}"
    assert GRANT in metadata["grant_types_supported"]


@pytest.mark.settings(failures_per_hour=5)
def test_user_code_guesses_are_rate_limited(hers):
    """5.1: SHOULD rate-limit, with five attempts in the example."""
    statuses = [hers.post("/device", user_code="BCDF-GHJK").status for _ in range(6)]
    assert statuses == [400] * 5 + [429]


def test_device_code_has_256_bits(party):
    """5.2: a very high entropy code SHOULD be used: 256 bits in base64url are 43 characters."""
    assert len(Device(party).told["device_code"]) == 43


def test_device_page_warns_against_remote_phishing(party, hers):
    """5.4: inform the user that they authorize a device, and that it should be in their possession."""
    text = hers.post("/device", user_code=Device(party).user_code).text
    assert "on a device in front of you" in text


def test_user_code_ignores_case_and_dashes(party, hers):
    """6.1: characters that aren't in the set are stripped, and letters are taken in any case."""
    device = Device(party)
    for typed in (device.user_code.lower(), device.user_code.replace("-", ""), device.user_code.replace("-", " ")):
        assert hers.post("/device", user_code=typed).status == 200


def test_user_code_has_no_vowels(party):
    """6.1: base 20, without vowels: 8 characters have 34.5 bits."""
    letters = set("".join(Device(party).user_code for _ in range(20))) - {"-"}
    assert letters <= set("BCDFGHJKLMNPQRSTVWXZ")
