"""Bad input at the endpoints that clients call directly: errors as in their RFCs, in JSON, never a 500."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from app.oidc.errors import CLIENT_ENDPOINTS
from tests.oidc import RelyingParty, register
from tests.openapi import check_answer

LONG = "x" * 60_000
NOT_TEXT = (b"\xff", b"\xed\xa0\x80", b"a\xe4", "a\0b", "\0")
"""No UTF-8, a lone surrogate, ISO 8859-1, and NUL."""

FORM = "application/x-www-form-urlencoded"
REFUSED = "invalid_request"
NO_GRANT = "invalid_grant"
OK = ""

CODE_GRANT: dict[str, list[tuple[object, str]]] = {
    "grant_type": [
        (None, REFUSED), ("", REFUSED), (["authorization_code"] * 2, REFUSED), ("password", "unsupported_grant_type"),
        ("client_credentials", "unsupported_grant_type"), ("Authorization_Code", "unsupported_grant_type"),
        ("urn:ietf:params:oauth:grant-type:jwt-bearer", "unsupported_grant_type"), (LONG, REFUSED),
        *((each, REFUSED) for each in NOT_TEXT),
    ],
    "code": [
        (None, REFUSED), ("", REFUSED), (["a", "b"], REFUSED), ("nonsense", NO_GRANT), ("ä😀", NO_GRANT),
        (LONG, REFUSED),
        *((each, REFUSED) for each in NOT_TEXT),
    ],
    "redirect_uri": [
        (None, REFUSED), ("", REFUSED), (["a", "b"], REFUSED), ("https://app.example.com/other", NO_GRANT),
        ("https://app.example.com/callback/", NO_GRANT), ("https://APP.example.com/callback", NO_GRANT),
        (LONG, REFUSED), *((each, REFUSED) for each in NOT_TEXT),
    ],
    "code_verifier": [
        (None, NO_GRANT), ("", NO_GRANT), ("x" * 43, NO_GRANT), ("short", NO_GRANT), ("ä" * 43, NO_GRANT),
        (LONG, REFUSED),
        (["a", "b"], REFUSED), *((each, REFUSED) for each in NOT_TEXT),
    ],
    "resource": [
        ("https://other.example.com", "invalid_target"), ("not a uri", REFUSED), (LONG, REFUSED),
        *((each, REFUSED) for each in NOT_TEXT),
    ],
    "client_id": [("gitea", REFUSED), (["grafana"] * 2, REFUSED), ("", OK), ("grafana", OK)],
    "unheard-of": [("anything", OK)],
}  # fmt: skip

REFRESH: dict[str, list[tuple[object, str]]] = {
    "refresh_token": [
        (None, REFUSED), ("", REFUSED), (["a", "b"], REFUSED), ("nonsense", NO_GRANT), ("lkg_" + "f" * 32, NO_GRANT),
        ("lkg_" + "f" * 75, NO_GRANT), ("ä😀", NO_GRANT), (LONG, REFUSED), *((each, REFUSED) for each in NOT_TEXT),
    ],
    "scope": [
        ("admin", "invalid_scope"), ("openid admin", "invalid_scope"), ("openid email phone", "invalid_scope"),
        (["openid", "openid"], REFUSED), (LONG, REFUSED), *((each, REFUSED) for each in NOT_TEXT),
        (" ", OK), ("", OK), ("openid", OK),
    ],
    "resource": [("https://other.example.com", "invalid_target"), (LONG, REFUSED)],
}  # fmt: skip

A_TOKEN: list[tuple[object, str]] = [
    (None, REFUSED), ("", REFUSED), (["a", "b"], REFUSED), (LONG, REFUSED), ("nonsense", OK), ("ä😀", OK),
    ("lka_" + "f" * 43, OK), ("lkg_" + "f" * 75, OK), ("a.b.c", OK), *((each, REFUSED) for each in NOT_TEXT),
]  # fmt: skip


@pytest.fixture
def rp(app) -> RelyingParty:
    """An app among others."""
    register(app, "gitea")
    return register(app)


@pytest.mark.settings(limits=False)
@pytest.mark.parametrize("name", CODE_GRANT)
def test_invalid_code_exchange_parameter_gets_the_specified_error(rp, browser, name):
    for value, error in CODE_GRANT[name]:
        fields = {"grant_type": "authorization_code", "code": rp.code(browser), "redirect_uri": rp.redirect_uri}
        response = send(rp, "/oauth/token", fields | {"code_verifier": rp.verifier, name: value})
        check(response, error, (name, value))


@pytest.mark.settings(limits=False)
@pytest.mark.parametrize("name", REFRESH)
def test_invalid_refresh_parameter_is_rejected_without_spending_the_token(rp, browser, name):
    for value, error in REFRESH[name]:
        token = rp.tokens(browser, scope="openid email")["refresh_token"]
        given = {"grant_type": "refresh_token", "refresh_token": token, name: value}
        check(send(rp, "/oauth/token", given), error, (name, value))
        if name != "refresh_token" and error:
            assert rp.refresh(token).status_code == 200, "what was refused has spent nothing"


@pytest.mark.settings(limits=False)
@pytest.mark.parametrize("path", ["/oauth/revoke", "/oauth/introspect"])
def test_revoke_and_introspect_accept_unknown_and_reject_malformed_tokens(rp, path):
    for value, error in A_TOKEN:
        check(send(rp, path, {"token": value}), error, (path, value))
    for hint in ("nonsense", "", "refresh_token", "ä"):
        check(send(rp, path, {"token": "nonsense", "token_type_hint": hint}), OK, hint)


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke", "/oauth/introspect"])
def test_token_endpoints_read_only_form_bodies(rp, path):
    import orjson

    fields = {"grant_type": "refresh_token", "refresh_token": "a", "token": "a"}
    form = urlencode(fields)
    for body, kind in ((orjson.dumps(fields), "application/json"), (form, "text/plain"), (b"{", "a/b+json"), (form, ""),
                       (b"--x\r\n\r\n", "multipart/form-data; boundary=x")):  # fmt: skip
        response = rp.http.post(path, data=body, content_type=kind, headers=rp_header(rp))
        check(response, REFUSED, kind)
    response = rp.http.post(f"{path}?{urlencode(fields)}", content_type=FORM, headers=rp_header(rp))
    check(response, REFUSED, "in the address")


def test_client_secret_in_query_string_is_ignored(rp):
    query = urlencode({"client_id": rp.id, "client_secret": rp.secret, "token": "a"})
    assert rp.http.post(f"/oauth/revoke?{query}", data={"token": "a"}).json["error"] == "invalid_client"


@pytest.mark.parametrize("token", ["nonsense", "ä", "a b", "x" * 9000, "lka_" + "f" * 43, "a.b.c", "Bearer"])
def test_userinfo_rejects_invalid_access_token(rp, token):
    header = rp.http.get("/oauth/userinfo", headers={"Authorization": f"Bearer {token}"})
    body = rp.http.post("/oauth/userinfo", data={"access_token": token[:8000]})
    for response in (header, body):
        assert (response.status_code, response.json["error"]) == (401, "invalid_token")
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="userinfo", error="invalid_token"'


def test_userinfo_challenge_without_token_has_no_error(rp):
    for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "}, {"Authorization": "Basic YTpi"}):
        for ask in (rp.http.get, rp.http.post):
            response = ask("/oauth/userinfo", headers=headers)
            assert response.status_code == 401
            assert is_bare(response.headers["WWW-Authenticate"])
    assert is_bare(rp.http.get("/oauth/userinfo?access_token=a").headers["WWW-Authenticate"])


def is_bare(challenge: str) -> bool:
    """Whether a challenge names both schemes and no error (RFC 6750, section 3.1)."""
    return challenge.startswith('Bearer realm="userinfo", DPoP algs="') and "error" not in challenge


@pytest.mark.settings(limits=False)
def test_userinfo_rejects_access_token_sent_twice_or_malformed(rp, browser):
    token = rp.tokens(browser)["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    check(rp.http.post("/oauth/userinfo", data={"access_token": token}, headers=headers), REFUSED, "both")
    check(rp.http.post("/oauth/userinfo", data={"access_token": [token, token]}), REFUSED, "twice in the body")
    for value in (LONG, *NOT_TEXT):
        body = urlencode({"access_token": value})
        check(rp.http.post("/oauth/userinfo", data=body, content_type=FORM), REFUSED, value)


def test_userinfo_rejects_access_token_without_openid_scope(rp, browser):
    token = rp.tokens(browser, scope="email")["access_token"]
    response = rp.userinfo(token)
    assert (response.status_code, response.json["error"]) == (403, "insufficient_scope")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="userinfo", error="insufficient_scope", scope="openid"'


@pytest.mark.both_databases
def test_exchange_attempt_by_another_client_does_not_spend_the_code(app, rp, browser):
    code = rp.code(browser)
    other = RelyingParty(app, "gitea", "not its secret", verifier=rp.verifier)
    assert other.exchange(code).json["error"] == "invalid_client"
    spa = register(app, "spa", public=True)
    spa.verifier = rp.verifier
    assert spa.exchange(code).json["error"] == "invalid_grant"
    assert rp.exchange(code).status_code == 200


def test_client_cannot_use_an_unregistered_grant_type(app, browser):
    short = register(app, "short", grant_types=["authorization_code"])
    tokens = short.tokens(browser)
    assert "refresh_token" not in tokens
    assert short.refresh("lkg_" + "f" * 75).json["error"] == "unauthorized_client"
    device = register(app, "tv", grant_types=["refresh_token"], redirect_uris=[short.redirect_uri])
    assert device.answer(browser.client.get(device.request()))["error"] == "unauthorized_client"


@pytest.mark.one_database
@pytest.mark.parametrize("accept", ["text/html", "*/*", "application/json", ""])
@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke", "/oauth/introspect"])
def test_token_endpoint_errors_are_json_for_any_accept_header(rp, path, accept):
    headers = {"Accept": accept}
    for response, status in (
        (rp.http.get(path, headers=headers), 405),
        (rp.http.delete(path, headers=headers), 405),
        (rp.http.post(path, data=b"x" * 70_000, content_type=FORM, headers=headers | rp_header(rp)), 413),
        (rp.http.post(path, data={"a": "b"}, headers=headers), 401),
        (rp.http.post(path, data={"a": "b"}, headers=headers | {"Host": "evil.example"}), 400),
    ):
        assert response.status_code == status
        check_shape(response)


@pytest.mark.parametrize("path", CLIENT_ENDPOINTS)
def test_internal_error_of_oauth_endpoints_is_json(app, rp, path, monkeypatch):
    def fails(*_given, **_more):
        raise RuntimeError("a fault")

    monkeypatch.setattr(app, "preprocess_request", fails)
    response = rp.http.get(path, headers={"Accept": "text/html"})
    assert (response.status_code, response.json["error"]) == (500, "server_error")
    check_shape(response)
    assert rp.http.get("/oauth/authorize", headers={"Accept": "text/html"}).mimetype == "text/html"


def send(rp: RelyingParty, path: str, fields: dict[str, object]):
    """Post fields as they are, bytes too."""
    given = {name: value for name, value in fields.items() if value is not None}
    body = urlencode(given, doseq=True)
    return rp.http.post(path, data=body, content_type=FORM, headers=rp_header(rp))


def rp_header(rp: RelyingParty) -> dict[str, str]:
    """Return what authenticates an app."""
    from tests.client_rows import basic

    return basic(rp.id, rp.secret)


def check(response, error: str, case: object) -> None:
    """Check that an answer is a refusal by this error, or none for ""."""
    if not error:
        assert response.status_code == 200, (str(case)[:80], response.text)
        return
    assert response.status_code in (400, 413), (str(case)[:80], response.status)
    assert response.json["error"] == error, (str(case)[:80], response.json)
    check_shape(response)


def check_shape(response) -> None:
    """Check that an error is uncacheable JSON as in RFC 6749, section 5.2, and matches openapi.yaml."""
    check_answer(response.request.method, response.request.path, response)
    assert response.mimetype == "application/json"
    assert response.json.keys() == {"error", "error_description"}
    assert set(response.json["error_description"]) <= set(map(chr, range(0x20, 0x7F))) - set('"\\')
    assert (response.headers["Cache-Control"], response.headers["Pragma"]) == ("no-store", "no-cache")
