"""Pushed authorization requests (RFC 9126): validated when pushed, used once, only by their client."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.client_rows import Signer, basic
from tests.functional.oidc.test_code_flow import next_of
from tests.functional.oidc.test_interaction import decide
from tests.oidc import ISSUER, register
from tests.signed_in import sign_in
from tests.wire import Wire

URN = "urn:ietf:params:oauth:request_uri:"


def error_of(response) -> tuple[int, str]:
    """Return status and code of a refusal, which is JSON and leads nowhere."""
    assert "Location" not in response.headers
    return response.status_code, response.json["error"]


def test_pushed_request_is_stored_and_expires_in_a_minute(grafana, rows):
    from app.oidc.models import AuthorizationRequest

    response = grafana.push(scope="openid email")
    assert (response.status_code, response.json["expires_in"]) == (201, 60)
    assert response.headers["Cache-Control"] == "no-store"
    assert response.json["request_uri"].startswith(URN)
    (row,) = rows(AuthorizationRequest)
    assert (row.pushed, row.client_id, row.parameters["scope"]) == (True, "grafana", ["openid email"])


def test_authorization_uses_the_pushed_parameters(grafana, browser):
    answer = grafana.answer(browser.client.get(grafana.pushed(scope="openid email")))
    assert (answer["state"], answer["iss"]) == (grafana.state, ISSUER)
    tokens = grafana.exchange(answer["code"]).json
    assert tokens["scope"] == "openid email"
    assert grafana.claims(tokens["id_token"])["nonce"] == grafana.nonce


def test_parameters_beside_request_uri_are_ignored(grafana, browser):
    more = {
        "scope": "openid email groups",
        "redirect_uri": "https://evil.example/cb",
        "state": "other",
        "prompt": "none",
    }
    answer = grafana.answer(browser.client.get(f"{grafana.pushed()}&{urlencode(more)}"))
    assert answer["state"] == grafana.state
    assert grafana.exchange(answer["code"]).json["scope"] == "openid"


@pytest.mark.both_databases
def test_request_uri_can_be_used_once(grafana, browser):
    address = grafana.pushed()
    assert "code" in grafana.answer(browser.client.get(address))
    again = browser.client.get(address)
    assert (again.status_code, again.headers.get("Location")) == (400, None)


def test_request_uri_cannot_be_reused_while_consent_is_pending(app, browser):
    asking = register(app, "immich", consent="ask")
    address = asking.pushed()
    page = browser.get(address)
    assert "Allow Grafana?" in page.text
    assert browser.client.get(address).status_code == 400
    assert "code" in asking.answer(decide(browser, page, "yes"))


@pytest.mark.both_databases
def test_concurrent_uses_of_a_request_uri_succeed_once(app, grafana, ada):
    address = grafana.pushed()
    wires = [sign_in(Wire(app, "form"), ada) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda number: wires[number % 4].client.get(address).status_code, range(40)))
    assert sorted(answers) == [303] + [400] * 39


def test_pushed_request_continues_after_sign_in(app, grafana, ada):
    wire = Wire(app, "form")
    sent_to = wire.client.get(grafana.pushed())
    assert urlsplit(sent_to.headers["Location"]).path == "/us-signin"
    sign_in(wire, ada)
    assert "code" in grafana.answer(wire.client.get(next_of(sent_to)))


def test_request_uri_expires_after_a_minute(grafana, browser, clock):
    address = grafana.pushed()
    clock.shift(61)
    assert browser.client.get(address).status_code == 400


def test_sign_in_may_outlast_the_request_uri(app, grafana, ada, clock):
    wire = Wire(app, "form")
    address = grafana.pushed()
    clock.shift(59)
    sent_to = wire.client.get(address)
    clock.shift(600)
    sign_in(wire, ada)
    assert "code" in grafana.answer(wire.client.get(next_of(sent_to)))


def test_prompt_login_of_pushed_request_counts_from_first_use(grafana, browser, ada, clock):
    clock.shift(5)
    address = grafana.pushed(prompt="login")
    clock.shift(5)
    sign_in(browser, ada)
    clock.shift(5)
    sent_to = browser.client.get(address)
    assert urlsplit(sent_to.headers["Location"]).path == "/us-verify"
    sign_in(browser, ada)
    assert "code" in grafana.answer(browser.client.get(next_of(sent_to)))


def test_unused_pushed_request_cannot_be_continued_by_id(grafana, browser):
    request_id = parse_qs(urlsplit(grafana.pushed()).query)["request_uri"][0].removeprefix(URN)
    assert browser.client.get(f"/oauth/continue?request={request_id}").status_code == 400


def test_head_request_does_not_use_the_request_uri(grafana, browser):
    address = grafana.pushed()
    looked = browser.client.head(address)
    assert "Location" not in looked.headers
    assert "code" in grafana.answer(browser.client.get(address))


@pytest.mark.both_databases
def test_request_uri_with_wrong_client_id_is_rejected_and_not_spent(app, grafana, browser):
    register(app, "gitea")
    address = grafana.pushed()
    uri = parse_qs(urlsplit(address).query)["request_uri"][0]
    for other in ({"client_id": "gitea"}, {}, {"client_id": ["grafana", "grafana"]}, {"client_id": "\x00"}):
        refused = browser.client.get(f"/oauth/authorize?{urlencode({'request_uri': uri} | other, doseq=True)}")
        assert (refused.status_code, refused.headers.get("Location")) == (400, None), other
    assert "code" in grafana.answer(browser.client.get(address))


@pytest.mark.parametrize("uri", [URN, URN + "0" * 32, URN + "\x00", URN + "f" * 3000, "URN:x"])
def test_unknown_request_uri_is_rejected(grafana, browser, uri):
    refused = browser.client.get(f"/oauth/authorize?{urlencode({'request_uri': uri, 'client_id': 'grafana'})}")
    assert (refused.status_code, refused.headers.get("Location")) == (400, None)


def test_repeated_request_uri_parameter_is_rejected(grafana, browser):
    address = grafana.pushed()
    uri = parse_qs(urlsplit(address).query)["request_uri"][0]
    assert browser.client.get(f"{address}&{urlencode({'request_uri': uri})}").status_code == 400


def test_external_request_uri_returns_request_uri_not_supported(grafana, browser):
    request = grafana.request(request_uri="https://app.example.com/request.jwt")
    assert grafana.answer(browser.client.get(request))["error"] == "request_uri_not_supported"


def test_request_uri_is_accepted_by_cross_site_post_once(app, grafana, browser):
    fields = {name: values[0] for name, values in parse_qs(urlsplit(grafana.pushed()).query).items()}
    stranger = app.test_client(use_cookies=False)
    sent = stranger.post("/oauth/authorize", data=fields, headers={"Origin": "https://app.example.com"})
    assert sent.status_code == 303
    assert "code" in grafana.answer(browser.client.get(sent.headers["Location"]))
    assert browser.client.get(sent.headers["Location"]).status_code == 400


def test_client_requiring_par_gets_no_code_without_it(app, browser):
    strict = register(app, "strict", require_pushed=True)
    for request in (strict.request(), strict.request(prompt="none")):
        assert strict.answer(browser.client.get(request))["error"] == "invalid_request"
    stranger = app.test_client()
    assert strict.answer(stranger.get(strict.request()))["error"] == "invalid_request"
    assert "code" in strict.answer(browser.client.get(strict.pushed()))


# --- what is refused when it is pushed ----------------------------------------------------------


@pytest.mark.parametrize(
    ("different", "error"),
    [
        ({"redirect_uri": None}, "invalid_request"),
        ({"redirect_uri": "https://app.example.com/other"}, "invalid_request"),
        ({"redirect_uri": "https://evil.example/callback"}, "invalid_request"),
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "unheard_of"}, "invalid_scope"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"request": "eyJhbGciOiJub25lIn0.e30."}, "request_not_supported"),
        ({"request_uri": URN + "0" * 32}, "invalid_request"),
        ({"request_uri": ""}, "invalid_request"),
        ({"state": "x" * 2049}, "invalid_request"),
        ({"nonce": "x" * 513}, "invalid_request"),
        ({"claims": "[]"}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"resource": "https://other.example.com"}, "invalid_target"),
        ({"dpop_jkt": "short"}, "invalid_request"),
        ({"login_hint": "a\x00b"}, "invalid_request"),
    ],
)
def test_invalid_pushed_request_is_rejected_and_not_stored(grafana, rows, different, error):
    from app.oidc.models import AuthorizationRequest

    assert error_of(grafana.push(**different)) == (400, error)
    assert rows(AuthorizationRequest) == []


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "scope", "state", "nonce", "response_type", "prompt"])
def test_repeated_pushed_parameter_is_rejected(grafana, name):
    parameters = grafana.parameters(prompt="login")
    response = grafana.post("/oauth/par", **(parameters | {name: [parameters[name]] * 2}))
    assert error_of(response) == (400, "invalid_request")


def test_pushed_request_must_be_a_form_post(grafana):
    headers = basic("grafana", grafana.secret)
    response = grafana.http.post("/oauth/par", json=grafana.parameters(), headers=headers)
    assert error_of(response) == (400, "invalid_request")
    assert grafana.http.get("/oauth/par").status_code == 405


# --- who pushes ---------------------------------------------------------------------------------


def test_pushed_request_with_wrong_secret_is_rejected(app, grafana):
    grafana.secret = "another-one"
    assert error_of(grafana.push()) == (401, "invalid_client")
    grafana.secret = ""
    assert error_of(grafana.push()) == (401, "invalid_client")


def test_client_cannot_push_for_another_client(app, grafana):
    register(app, "gitea")
    assert error_of(grafana.push(client_id="gitea")) == (400, "invalid_request")


def test_pushed_request_with_basic_auth_needs_no_client_id(grafana, browser):
    response = grafana.push(client_id=None)
    query = urlencode({"client_id": "grafana", "request_uri": response.json["request_uri"]})
    assert "code" in grafana.answer(browser.client.get(f"/oauth/authorize?{query}"))


def test_client_secret_in_pushed_body_authenticates_and_is_not_stored(grafana, browser, rows):
    from app.oidc.models import AuthorizationRequest

    parameters = grafana.parameters(client_secret=grafana.secret)
    response = grafana.post("/oauth/par", auth=False, **parameters)
    assert response.status_code == 201
    (row,) = rows(AuthorizationRequest)
    assert grafana.secret not in str(row.parameters)
    assert "client_secret" not in row.parameters


def test_client_assertion_in_pushed_body_authenticates_and_is_not_stored(app, rows):
    from app.oidc.models import AuthorizationRequest

    signer = Signer()
    rp = register(app, "signs", auth_method="private_key_jwt", jwks=signer.jwks)
    assertion = signer.sign("signs", aud=f"{ISSUER}/oauth/par")
    assert rp.post("/oauth/par", auth=False, **rp.parameters(**assertion)).status_code == 201
    (row,) = rows(AuthorizationRequest)
    assert not {"client_assertion", "client_assertion_type"} & row.parameters.keys()
    assert error_of(rp.post("/oauth/par", auth=False, **rp.parameters(**assertion))) == (401, "invalid_client")


def test_public_client_can_push_requests(app, browser):
    spa = register(app, "spa", public=True)
    assert "code" in spa.answer(browser.client.get(spa.pushed()))


def test_client_without_code_grant_cannot_push(app):
    tv = register(app, "tv", grant_types=["urn:ietf:params:oauth:grant-type:device_code"])
    assert error_of(tv.push()) == (400, "unauthorized_client")


@pytest.mark.both_databases
@pytest.mark.settings(exchanges_per_address=3)
def test_pushes_of_public_clients_are_rate_limited_per_ip_address(app, grafana):
    spa = register(app, "spa", public=True)
    assert [spa.push().status_code for _ in range(4)] == [201, 201, 201, 429]
    refused = spa.push()
    assert refused.json["error"] == "temporarily_unavailable"
    assert int(refused.headers["Retry-After"]) > 0
    assert grafana.push().status_code == 201


def test_user_without_access_can_switch_account_in_a_pushed_request(app, browser):
    closed = register(app, "closed", groups=["staff"])
    page = browser.get(closed.pushed())
    assert page.status == 403
    fields = {"csrf_token": page.csrf_token, "request": page.page.value("request"), "allow": "no"}
    sent = browser.client.post("/oauth/account", data=fields)
    assert urlsplit(browser.client.get(sent.headers["Location"]).headers["Location"]).path == "/us-signin"
