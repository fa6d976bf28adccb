"""Each parameter of /oauth/authorize missing, twice, too long, of a wrong kind, with bytes that are no text.

A fault goes back to the client as its RFC names it, and only once client and redirect URI are sure.
"""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from app.oidc.models import AuthorizationRequest
from app.oidc.parameters import AUTHORIZATION_PARAMETERS
from tests.oidc import ISSUER, REDIRECT, RelyingParty, register

PAGE = "a page"
CODE = "a code"
LONG = "x" * 70_000
NOT_TEXT = (b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"a\xe4", "a\0b", "\0")
"""Invalid UTF-8, a lone surrogate, an overlong form, ISO 8859-1, and NUL."""

DESCRIBES = set(map(chr, range(0x20, 0x7F))) - set('"\\')
"""The characters allowed in error_description (RFC 6749, section 4.1.2.1)."""

DEEP = '{"userinfo":' * 600 + "1" + "}" * 600
ACR = '{"id_token": {"acr": {"essential": true, %s}}}'
HUGE = '{"userinfo": {"email": {"value": %s}}}'

MATRIX: dict[str, list[tuple[object, str]]] = {
    "client_id": [
        (None, PAGE), ("", PAGE), (["grafana", "grafana"], PAGE), (["grafana", "gitea"], PAGE), (LONG, PAGE),
        ("nobody", PAGE), ("GRAFANA", PAGE), ("grafana ", PAGE), (" grafana", PAGE), ("grafana\0", PAGE),
        ("gitea", PAGE), ("disabled", PAGE), ("gräfana", PAGE), ("\U0001f600" * 300, PAGE),
        *((each, PAGE) for each in NOT_TEXT),
    ],
    "redirect_uri": [
        (None, PAGE), ("", PAGE), ([REDIRECT, REDIRECT], PAGE), ([REDIRECT, "https://evil.example/"], PAGE),
        (LONG, PAGE), ("https://gitea.example.com/callback", PAGE), *((each, PAGE) for each in NOT_TEXT),
    ],
    "response_type": [
        (None, "invalid_request"), ("", "invalid_request"), (["code", "code"], "invalid_request"),
        (LONG, "invalid_request"), ("token", "unsupported_response_type"), ("id_token", "unsupported_response_type"),
        ("code id_token", "unsupported_response_type"), ("code token", "unsupported_response_type"),
        ("none", "unsupported_response_type"), ("Code", "unsupported_response_type"),
        ("code ", "unsupported_response_type"), *((each, "invalid_request") for each in NOT_TEXT),
    ],
    "response_mode": [
        (None, CODE), ("", CODE), ("query", CODE), (["query", "query"], "invalid_request"), (LONG, "invalid_request"),
        ("fragment", "invalid_request"), ("form_post", "invalid_request"), ("nonsense", "invalid_request"),
        *((each, "invalid_request") for each in NOT_TEXT),
    ],
    "scope": [
        (None, "invalid_scope"), ("", "invalid_scope"), (["openid", "openid"], "invalid_request"),
        (["openid", "email"], "invalid_request"), (LONG, "invalid_request"), ("admin", "invalid_scope"),
        ("OPENID", "invalid_scope"), ("openid admin", CODE), ("  openid  openid ", CODE), ("openid\temail", CODE),
        *((each, "invalid_request") for each in NOT_TEXT),
    ],
    "state": [
        (None, CODE), ("", CODE), (["one", "two"], "invalid_request"), (LONG, "invalid_request"),
        ("ä 😀&=#%+;\"'<>\r\n", CODE), *((each, "invalid_request") for each in NOT_TEXT),
    ],
    "nonce": [
        (None, CODE), ("", CODE), (["one", "two"], "invalid_request"), ("x" * 512, CODE),
        ("x" * 513, "invalid_request"),
        (LONG, "invalid_request"), *((each, "invalid_request") for each in NOT_TEXT),
    ],
    "prompt": [
        (None, CODE), ("none", CODE), ("nonsense", CODE), (["none", "none"], "invalid_request"),
        ("none login", "invalid_request"), ("none nonsense", "invalid_request"), (LONG, "invalid_request"),
        *((each, "invalid_request") for each in NOT_TEXT),
    ],
    "max_age": [
        (None, CODE), ("", CODE), ("1000", CODE), ("0001000", CODE), (["1000", "1000"], "invalid_request"),
        ("-1", "invalid_request"), ("1.5", "invalid_request"), ("1e3", "invalid_request"), ("soon", "invalid_request"),
        (" 1", "invalid_request"), ("1\n", "invalid_request"), ("+1", "invalid_request"), ("١٢", "invalid_request"),
        ("9999999999", "invalid_request"), (LONG, "invalid_request"), *((each, "invalid_request") for each in NOT_TEXT),
    ],
    "id_token_hint": [
        ("", CODE), ("nonsense", "invalid_request"), ("a.b.c", "invalid_request"), ("....", "invalid_request"),
        (["a", "a"], "invalid_request"), (LONG, "invalid_request"), ("ä.ö.ü", "invalid_request"),
        ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", "invalid_request"),
        *((each, "invalid_request") for each in NOT_TEXT),
    ],
    "claims": [
        ("", CODE), ("{}", CODE), ('{"userinfo": {}, "id_token": null, "more": 1}', CODE), ("{", "invalid_request"),
        ("[]", "invalid_request"), ("null", "invalid_request"), ("1", "invalid_request"), ('"a"', "invalid_request"),
        ('{"userinfo": []}', "invalid_request"), ('{"userinfo": 1}', "invalid_request"),
        ('{"userinfo": {"email": true}}', "invalid_request"), ('{"id_token": {"sub": "ada"}}', "invalid_request"),
        ('{"id_token": {"sub": {"value": 1}}}', "invalid_request"), (DEEP, CODE),
        ("[" * 8000, "invalid_request"), (json.dumps({"userinfo": {f"c{n}": None for n in range(41)}}),
        "invalid_request"),
        (["{}", "{}"], "invalid_request"), (LONG, "invalid_request"), (HUGE % "NaN", CODE), (HUGE % ("9" * 60), CODE),
        (HUGE % '"\\ud800"', CODE), (HUGE % '"\\u0000"', CODE), (HUGE % ("[" * 400 + "]" * 400), CODE),
        ('{"userinfo": {"\\ud800": null, "\\u0000": null, "__proto__": null}}', CODE),
        (ACR % '"values": [{}, [], 1, null]', "unmet_authentication_requirements"),
        (ACR % '"value": ["aal2"]', "unmet_authentication_requirements"),
        *((each, "invalid_request") for each in NOT_TEXT),
    ],
    "code_challenge": [
        (None, "invalid_request"), ("", "invalid_request"), ("x" * 42, "invalid_request"),
        ("x" * 44, "invalid_request"),
        ("x" * 42 + "=", "invalid_request"), ("x" * 42 + "+", "invalid_request"), ("x" * 43 + "\n", "invalid_request"),
        (["x" * 43] * 2, "invalid_request"), (LONG, "invalid_request"),
        *((each, "invalid_request") for each in NOT_TEXT),
    ],
    "code_challenge_method": [
        (None, "invalid_request"), ("", "invalid_request"), ("plain", "invalid_request"), ("s256", "invalid_request"),
        (["S256", "S256"], "invalid_request"), (LONG, "invalid_request"),
        *((each, "invalid_request") for each in NOT_TEXT),
    ],
    "request": [("a.b.c", "request_not_supported"), ("", CODE), (["a", "b"], "invalid_request")],
    "request_uri": [
        ("https://app.example.com/r", "request_uri_not_supported"), ("", CODE), (["a", "b"], "invalid_request"),
        ("urn:ietf:params:oauth:request_uri:nonsense", PAGE), ("urn:ietf:params:oauth:request_uri:", PAGE),
        ("urn:ietf:params:oauth:request_uri:\0", PAGE), ("urn:ietf:params:oauth:request_uri:" + LONG, PAGE),
    ],
    "registration": [("{}", "registration_not_supported"), ("", CODE), (["{}", "{}"], "invalid_request")],
    "resource": [
        ("https://api.example.com", CODE), (["https://api.example.com"] * 8, CODE),
        (["https://api.example.com"] * 9, "invalid_request"), ("https://other.example.com", "invalid_target"),
        ("https://api.example.com#x", "invalid_target"),
        ("https://api.example.com https://b.example", "invalid_request"),
        (LONG, "invalid_request"), *((each, "invalid_request") for each in NOT_TEXT),
    ],
    "dpop_jkt": [
        ("x" * 43, CODE), ("x" * 42, "invalid_request"), ("x" * 43 + "\n", "invalid_request"),
        (LONG, "invalid_request"),
        (["x" * 43] * 2, "invalid_request"), *((each, "invalid_request") for each in NOT_TEXT),
    ],
    "acr_values": [("nonsense", CODE), (["aal1", "aal1"], "invalid_request"), (LONG, "invalid_request")],
    "login_hint": [("<script>", CODE), (["a", "b"], "invalid_request"), (LONG, "invalid_request")],
    "ui_locales": [("xx-YY de_DE *", CODE), (["de", "en"], "invalid_request"), (LONG, "invalid_request")],
    "display": [("nonsense", CODE), (["page", "page"], "invalid_request"), (LONG, "invalid_request")],
    "unheard-of": [("anything", CODE), (["one", "two"], CODE), (LONG[:3000], CODE), ("\0", CODE), (b"\xff", CODE)],
    "na\0me": [("value", CODE)],
}  # fmt: skip


@pytest.fixture
def rp(app) -> RelyingParty:
    """An app among others, which people needn't allow anything."""
    register(app, "gitea", redirect_uris=["https://gitea.example.com/callback"])
    _disable(app, register(app, "disabled").id)
    return register(app, resources=["https://api.example.com"])


@pytest.mark.settings(limits=False)
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", MATRIX)
def test_invalid_authorization_parameter_gets_the_specified_error(rp, browser, name, method):
    for value, outcome in MATRIX[name]:
        response = ask(browser.client, rp, method, **{name: value})
        check(rp, response, outcome, {name: value})


@pytest.mark.one_database
@pytest.mark.settings(limits=False)
@pytest.mark.parametrize("name", MATRIX)
def test_invalid_authorization_request_fails_before_sign_in(rp, app, name):
    stranger = app.test_client()
    for value, outcome in MATRIX[name]:
        response = ask(stranger, rp, "GET", **{name: value})
        if (name, value) == ("prompt", "none"):
            outcome = "login_required"
        if outcome == CODE:
            assert urlsplit(response.headers["Location"]).path == "/us-signin", (name, short(value))
        else:
            check(rp, response, outcome, {name: value})


def test_access_token_is_rejected_as_id_token_hint(app, browser, people):
    rp = register(app, access_token="jwt")
    tokens = rp.tokens(browser)
    answer = rp.answer(browser.client.get(rp.request(id_token_hint=tokens["access_token"])))
    assert answer["error"] == "invalid_request"
    assert rp.code(browser, id_token_hint=tokens["id_token"])


def test_expired_id_token_is_accepted_as_hint(grafana, browser, clock):
    hint = grafana.tokens(browser)["id_token"]
    clock.shift(3600)
    assert grafana.code(browser, id_token_hint=hint, prompt="none")


def test_authorization_request_body_that_is_not_a_form_is_rejected(app, browser):
    for body, kind in ((b"{}", "application/json"), (b"client_id=grafana", "text/plain"), (b"\xff\0", "image/png")):
        sent = browser.client.post("/oauth/authorize", data=body, content_type=kind)
        shown = browser.client.get(sent.headers["Location"]) if sent.status_code == 303 else sent
        assert (shown.status_code, "Location" in shown.headers) == (400, False)


@pytest.mark.one_database
def test_stored_authorization_request_keeps_only_known_truncated_parameters(app, rp, rows):
    client = app.test_client()
    sent = {"client_secret": "secret", "na\0me": "a", "x" * 100: "b", "code_verifier": "c", "state": "s" * 50_000}
    ask(client, rp, "POST", **sent)
    ask(client, rp, "GET", **(sent | {"state": "short"}))
    stored = [row.parameters for row in rows(AuthorizationRequest)]
    assert len(stored) == 2
    for parameters in stored:
        assert parameters.keys() <= AUTHORIZATION_PARAMETERS
        assert max(len(value) for values in parameters.values() for value in values) <= 2049


@pytest.mark.settings(limits=False)
@pytest.mark.parametrize("path", ["/oauth/continue", "/oauth/consent", "/oauth/account"])
def test_unknown_request_id_is_rejected_without_redirect(rp, browser, path):
    for value in (None, "", "f" * 32, LONG, "\0", b"\xff", ["f" * 32] * 2, "'; --", "../" * 9):
        given = {} if value is None else {"request": value}
        if path == "/oauth/continue":
            response = browser.client.get(f"{path}?{urlencode(given, doseq=True)}")
        else:
            token = browser.fetch_csrf()
            body = urlencode(given | {"csrf_token": token, "allow": "yes"}, doseq=True)
            response = browser.client.post(path, data=body, content_type="application/x-www-form-urlencoded")
        assert response.status_code in (400, 413), short(value)
        assert "Location" not in response.headers, short(value)


def test_invalid_consent_decision_never_grants_access(app, browser):
    asking = register(app, "immich", consent="ask")
    for allow in (None, "", "YES", "yes\0", "y" * 9, ["no", "yes"]):
        page = browser.get(asking.request())
        fields = {"csrf_token": page.csrf_token, "request": page.page.value("request"), "allow": allow}
        given = urlencode({name: value for name, value in fields.items() if value is not None}, doseq=True)
        response = browser.client.post("/oauth/consent", data=given, content_type="application/x-www-form-urlencoded")
        assert response.status_code == 400 or asking.answer(response)["error"] == "access_denied", allow
    assert browser.get(asking.request()).status == 200, "it asks still"


def ask(client, rp: RelyingParty, method: str, **different):
    """Send an authorization request as a browser does, by a link or by a form."""
    path, _, query = rp.request(**different).partition("?")
    if method == "GET":
        return client.get(f"{path}?{query}")
    sent = client.post(path, data=query, content_type="application/x-www-form-urlencoded")
    return client.get(sent.headers["Location"]) if sent.status_code == 303 else sent


def check(rp: RelyingParty, response, outcome: str, asked: dict[str, object]) -> None:
    """Check that an answer is what a request must get."""
    where, case = response.headers.get("Location", ""), short(asked)
    if outcome == PAGE or (response.status_code == 413 and LONG in asked.values()):
        assert (response.status_code in (400, 413), where) == (True, ""), (case, response.status)
        return
    address, _, query = where.partition("?")
    assert address == REDIRECT, (case, response.status, where[:200])
    answer = parse_qs(query, keep_blank_values=True)
    assert answer["iss"] == [ISSUER]
    assert answer.get("state", [None]) == [state_of(rp, asked)], case
    if outcome == CODE:
        assert answer.keys() - {"state"} == {"code", "iss"}, (case, answer)
    else:
        assert answer.get("error") == [outcome], (case, answer)
        assert set(answer["error_description"][0]) <= DESCRIBES, answer


def short(value: object) -> str:
    """Return what a message shows of a value."""
    return repr(value)[:80]


def state_of(rp: RelyingParty, asked: dict[str, object]) -> str | None:
    """Return the state that comes back: to the letter, or none where none was sent, or none that can be."""
    if "state" not in asked:
        return rp.state
    sent = asked["state"]
    fine = isinstance(sent, str) and 0 < len(sent) <= 2048 and "\0" not in sent
    return sent if fine else None


def _disable(app, client_id: str) -> None:
    from app import clock
    from app.extensions import db
    from app.oidc.models import OAuthClient

    with app.app_context():
        db.session.get(OAuthClient, client_id).disabled_at = clock.now()
        db.session.commit()
