"""Pushed authorization requests (RFC 9126): validated when pushed, begun once, by their client alone."""

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


def test_a_pushed_request_is_stored_for_a_minute(grafana, rows):
    from app.oidc.models import AuthorizationRequest

    response = grafana.push(scope="openid email")
    assert (response.status_code, response.json["expires_in"]) == (201, 60)
    assert response.headers["Cache-Control"] == "no-store"
    assert response.json["request_uri"].startswith(URN)
    (row,) = rows(AuthorizationRequest)
    assert (row.pushed, row.client_id, row.parameters["scope"]) == (True, "grafana", ["openid email"])


def test_it_is_answered_as_it_was_pushed(grafana, browser):
    answer = grafana.answer(browser.client.get(grafana.pushed(scope="openid email")))
    assert (answer["state"], answer["iss"]) == (grafana.state, ISSUER)
    tokens = grafana.exchange(answer["code"]).json
    assert tokens["scope"] == "openid email"
    assert grafana.claims(tokens["id_token"])["nonce"] == grafana.nonce


def test_parameters_beside_it_are_ignored(grafana, browser):
    more = {
        "scope": "openid email groups",
        "redirect_uri": "https://evil.example/cb",
        "state": "other",
        "prompt": "none",
    }
    answer = grafana.answer(browser.client.get(f"{grafana.pushed()}&{urlencode(more)}"))
    assert answer["state"] == grafana.state
    assert grafana.exchange(answer["code"]).json["scope"] == "openid"


def test_it_is_begun_once(grafana, browser):
    address = grafana.pushed()
    assert "code" in grafana.answer(browser.client.get(address))
    again = browser.client.get(address)
    assert (again.status_code, again.headers.get("Location")) == (400, None)


def test_it_is_begun_once_also_where_nobody_has_answered_it(app, browser):
    asking = register(app, "immich", consent="ask")
    address = asking.pushed()
    page = browser.get(address)
    assert "Allow Grafana?" in page.text
    assert browser.client.get(address).status_code == 400
    assert "code" in asking.answer(decide(browser, page, "yes"))


def test_forty_browsers_at_once_begin_it_once(app, grafana, ada):
    address = grafana.pushed()
    wires = [sign_in(Wire(app, "form"), ada) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda number: wires[number % 4].client.get(address).status_code, range(40)))
    assert sorted(answers) == [303] + [400] * 39


def test_it_goes_on_after_signing_in(app, grafana, ada):
    wire = Wire(app, "form")
    sent_to = wire.client.get(grafana.pushed())
    assert urlsplit(sent_to.headers["Location"]).path == "/us-signin"
    sign_in(wire, ada)
    assert "code" in grafana.answer(wire.client.get(next_of(sent_to)))


def test_it_is_over_after_a_minute(grafana, browser, clock):
    address = grafana.pushed()
    clock.shift(61)
    assert browser.client.get(address).status_code == 400


def test_whoever_began_it_in_time_has_longer_to_sign_in(app, grafana, ada, clock):
    wire = Wire(app, "form")
    address = grafana.pushed()
    clock.shift(59)
    sent_to = wire.client.get(address)
    clock.shift(600)
    sign_in(wire, ada)
    assert "code" in grafana.answer(wire.client.get(next_of(sent_to)))


def test_a_proof_counts_for_prompt_login_from_when_the_browser_came(grafana, browser, ada, clock):
    clock.shift(5)
    address = grafana.pushed(prompt="login")
    clock.shift(5)
    sign_in(browser, ada)
    clock.shift(5)
    sent_to = browser.client.get(address)
    assert urlsplit(sent_to.headers["Location"]).path == "/us-verify"
    sign_in(browser, ada)
    assert "code" in grafana.answer(browser.client.get(next_of(sent_to)))


def test_it_waits_for_its_browser_at_no_other_address(grafana, browser):
    request_id = parse_qs(urlsplit(grafana.pushed()).query)["request_uri"][0].removeprefix(URN)
    assert browser.client.get(f"/oauth/continue?request={request_id}").status_code == 400


def test_a_look_with_head_begins_nothing(grafana, browser):
    address = grafana.pushed()
    looked = browser.client.head(address)
    assert "Location" not in looked.headers
    assert "code" in grafana.answer(browser.client.get(address))


def test_another_clients_name_opens_nothing_and_takes_nothing_away(app, grafana, browser):
    register(app, "gitea")
    address = grafana.pushed()
    uri = parse_qs(urlsplit(address).query)["request_uri"][0]
    for other in ({"client_id": "gitea"}, {}, {"client_id": ["grafana", "grafana"]}, {"client_id": "\x00"}):
        refused = browser.client.get(f"/oauth/authorize?{urlencode({'request_uri': uri} | other, doseq=True)}")
        assert (refused.status_code, refused.headers.get("Location")) == (400, None), other
    assert "code" in grafana.answer(browser.client.get(address))


@pytest.mark.parametrize("uri", [URN, URN + "0" * 32, URN + "\x00", URN + "f" * 3000, "URN:x"])
def test_a_request_uri_that_we_never_gave_opens_nothing(grafana, browser, uri):
    refused = browser.client.get(f"/oauth/authorize?{urlencode({'request_uri': uri, 'client_id': 'grafana'})}")
    assert (refused.status_code, refused.headers.get("Location")) == (400, None)


def test_request_uri_twice_opens_nothing(grafana, browser):
    address = grafana.pushed()
    uri = parse_qs(urlsplit(address).query)["request_uri"][0]
    assert browser.client.get(f"{address}&{urlencode({'request_uri': uri})}").status_code == 400


def test_somebody_elses_request_uri_is_refused_by_its_own_error(grafana, browser):
    request = grafana.request(request_uri="https://app.example.com/request.jwt")
    assert grafana.answer(browser.client.get(request))["error"] == "request_uri_not_supported"


def test_a_form_of_another_site_brings_it_too(app, grafana, browser):
    fields = {name: values[0] for name, values in parse_qs(urlsplit(grafana.pushed()).query).items()}
    stranger = app.test_client(use_cookies=False)
    sent = stranger.post("/oauth/authorize", data=fields, headers={"Origin": "https://app.example.com"})
    assert sent.status_code == 303
    assert "code" in grafana.answer(browser.client.get(sent.headers["Location"]))
    assert browser.client.get(sent.headers["Location"]).status_code == 400


def test_a_client_that_has_to_push_gets_no_code_otherwise(app, browser):
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
def test_what_the_authorization_endpoint_refuses_is_refused_as_json(grafana, rows, different, error):
    from app.oidc.models import AuthorizationRequest

    assert error_of(grafana.push(**different)) == (400, error)
    assert rows(AuthorizationRequest) == []


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "scope", "state", "nonce", "response_type", "prompt"])
def test_a_parameter_that_is_sent_twice_is_refused(grafana, name):
    parameters = grafana.parameters(prompt="login")
    response = grafana.post("/oauth/par", **(parameters | {name: [parameters[name]] * 2}))
    assert error_of(response) == (400, "invalid_request")


def test_another_body_than_a_form_is_refused(grafana):
    headers = basic("grafana", grafana.secret)
    response = grafana.http.post("/oauth/par", json=grafana.parameters(), headers=headers)
    assert error_of(response) == (400, "invalid_request")
    assert grafana.http.get("/oauth/par").status_code == 405


# --- who pushes ---------------------------------------------------------------------------------


def test_a_wrong_secret_pushes_nothing(app, grafana):
    grafana.secret = "another-one"
    assert error_of(grafana.push()) == (401, "invalid_client")
    grafana.secret = ""
    assert error_of(grafana.push()) == (401, "invalid_client")


def test_a_client_pushes_in_its_own_name_alone(app, grafana):
    register(app, "gitea")
    assert error_of(grafana.push(client_id="gitea")) == (400, "invalid_request")


def test_a_client_that_is_known_by_its_header_needs_no_client_id_in_the_body(grafana, browser):
    response = grafana.push(client_id=None)
    query = urlencode({"client_id": "grafana", "request_uri": response.json["request_uri"]})
    assert "code" in grafana.answer(browser.client.get(f"/oauth/authorize?{query}"))


def test_a_secret_in_the_body_authenticates_and_is_not_stored(grafana, browser, rows):
    from app.oidc.models import AuthorizationRequest

    parameters = grafana.parameters(client_secret=grafana.secret)
    response = grafana.post("/oauth/par", auth=False, **parameters)
    assert response.status_code == 201
    (row,) = rows(AuthorizationRequest)
    assert grafana.secret not in str(row.parameters)
    assert "client_secret" not in row.parameters


def test_an_assertion_authenticates_and_is_not_stored(app, rows):
    from app.oidc.models import AuthorizationRequest

    signer = Signer()
    rp = register(app, "signs", auth_method="private_key_jwt", jwks=signer.jwks)
    assertion = signer.sign("signs", aud=f"{ISSUER}/oauth/par")
    assert rp.post("/oauth/par", auth=False, **rp.parameters(**assertion)).status_code == 201
    (row,) = rows(AuthorizationRequest)
    assert not {"client_assertion", "client_assertion_type"} & row.parameters.keys()
    assert error_of(rp.post("/oauth/par", auth=False, **rp.parameters(**assertion))) == (401, "invalid_client")


def test_a_public_client_pushes_by_its_name(app, browser):
    spa = register(app, "spa", public=True)
    assert "code" in spa.answer(browser.client.get(spa.pushed()))


def test_a_client_that_gets_no_codes_pushes_nothing(app):
    tv = register(app, "tv", grant_types=["urn:ietf:params:oauth:grant-type:device_code"])
    assert error_of(tv.push()) == (400, "unauthorized_client")


@pytest.mark.settings(exchanges_per_address=3)
def test_public_clients_push_so_often_from_one_address(app, grafana):
    spa = register(app, "spa", public=True)
    assert [spa.push().status_code for _ in range(4)] == [201, 201, 201, 429]
    refused = spa.push()
    assert refused.json["error"] == "temporarily_unavailable"
    assert int(refused.headers["Retry-After"]) > 0
    assert grafana.push().status_code == 201


def test_who_may_not_use_the_app_can_change_accounts_in_a_pushed_request_too(app, browser):
    closed = register(app, "closed", groups=["staff"])
    page = browser.get(closed.pushed())
    assert page.status == 403
    fields = {"csrf_token": page.csrf_token, "request": page.page.value("request"), "allow": "no"}
    sent = browser.client.post("/oauth/account", data=fields)
    assert urlsplit(browser.client.get(sent.headers["Location"]).headers["Location"]).path == "/us-signin"
