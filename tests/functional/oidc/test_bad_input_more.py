"""Each parameter of /oauth/par, /oauth/logout and /oauth/register missing, twice, too long, of a wrong kind.

What is pushed is refused for the same faults as at /oauth/authorize, as JSON.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from app.oidc.client_metadata import Metadata
from app.oidc.models import AuthorizationRequest, OAuthClient
from tests.client_rows import Signer, basic
from tests.functional.oidc.test_bad_input import CODE, LONG, MATRIX, NOT_TEXT, PAGE, short
from tests.functional.oidc.test_registration import METADATA, PATH, Registrar
from tests.functional.oidc.test_registration import issue as issue
from tests.functional.oidc.test_registration import registered as registered
from tests.functional.oidc.test_registration import registrar as registrar
from tests.oidc import RelyingParty, register
from tests.openapi import check_answer

FORM = "application/x-www-form-urlencoded"
BYE = "https://app.example.com/bye"
LOGOUT = "/oauth/logout"

FOR_THE_BROWSER = {"client_id", "request_uri"}
"""What /oauth/par has rules of its own for."""

pytestmark = [pytest.mark.settings(limits=False)]


@pytest.fixture
def rp(app) -> RelyingParty:
    """An app among others, with an address to return to."""
    register(app, "gitea", post_logout_redirect_uris=["https://gitea.example.com/bye"])
    return register(app, resources=["https://api.example.com"], post_logout_redirect_uris=[BYE])


# --- /oauth/par ---------------------------------------------------------------------------------

PUSHED: dict[str, list[tuple[object, str]]] = {
    **{name: rows for name, rows in MATRIX.items() if name not in FOR_THE_BROWSER},
    "client_id": [
        (None, CODE), ("", CODE), ("grafana", CODE), (["grafana"] * 2, "invalid_request"), ("gitea", "invalid_request"),
        ("GRAFANA", "invalid_request"), ("grafana ", "invalid_request"), (LONG, "invalid_request"),
        *((each, "invalid_request") for each in NOT_TEXT),
    ],
    "request_uri": [
        ("urn:ietf:params:oauth:request_uri:" + "0" * 32, "invalid_request"), ("", "invalid_request"),
        (["a", "b"], "invalid_request"), (LONG, "invalid_request"),
    ],
}  # fmt: skip


def push(rp: RelyingParty, **different: Any):
    """Push a request as it is, bytes too."""
    body = urlencode(rp.parameters(**different), doseq=True)
    answer = rp.http.post("/oauth/par", data=body, content_type=FORM, headers=basic(rp.id, rp.secret))
    check_answer("POST", "/oauth/par", answer)
    return answer


@pytest.mark.parametrize("name", PUSHED)
def test_invalid_pushed_request_parameter_gets_the_specified_error(rp, rows, name):
    stored = 0
    for value, outcome in PUSHED[name]:
        answer, case = push(rp, **{name: value}), (name, short(value))
        if outcome == CODE and not refuses_all(name, value):
            stored += 1
            assert answer.status_code == 201, (case, answer.text)
            continue
        error = "invalid_request" if outcome in (CODE, PAGE) or answer.status_code == 413 else outcome
        assert answer.status_code in (400, 413), (case, answer.status)
        assert answer.json["error"] == error, (case, answer.json)
    assert len(rows(AuthorizationRequest)) == stored


def refuses_all(name: str, value: object) -> bool:
    """Whether /oauth/par, which reads every parameter, refuses what /oauth/authorize doesn't look at."""
    if name != "unheard-of":
        return False
    return isinstance(value, (list, bytes)) or (isinstance(value, str) and (len(value) > 2048 or "\0" in value))


# --- /oauth/logout ------------------------------------------------------------------------------

REFUSED, BACK, ASKED = "refused", "back", "asked"

SIGNING_OUT: dict[str, list[tuple[object, str]]] = {
    "client_id": [
        (None, REFUSED), ("", REFUSED), (["grafana"] * 2, REFUSED), (["grafana", "gitea"], REFUSED), (LONG, REFUSED),
        ("nobody", REFUSED), ("gitea", REFUSED), ("GRAFANA", REFUSED), ("grafana ", REFUSED), ("gräfana", REFUSED),
        ("x" * 256, REFUSED), *((each, REFUSED) for each in NOT_TEXT),
    ],
    "post_logout_redirect_uri": [
        (None, ASKED), ("", ASKED), ([BYE, BYE], REFUSED), ([BYE, "https://evil.example/"], REFUSED), (LONG, REFUSED),
        ("https://gitea.example.com/bye", REFUSED), (BYE + "/", REFUSED), (BYE + "?", REFUSED),
        *((each, REFUSED) for each in NOT_TEXT),
    ],
    "state": [
        (None, ASKED), ("", ASKED), ("ä 😀&=#%+;\"'<>\r\n", ASKED), (["1", "2"], REFUSED), (LONG, REFUSED),
        *((each, REFUSED) for each in NOT_TEXT),
    ],
    "id_token_hint": [
        ("", ASKED), ("nonsense", REFUSED), ("a.b.c", REFUSED), ("....", REFUSED), (["a", "a"], REFUSED),
        (LONG, REFUSED), ("ä.ö.ü", REFUSED), ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", REFUSED),
        *((each, REFUSED) for each in NOT_TEXT),
    ],
    "logout_hint": [("<script>", ASKED), (["a", "b"], REFUSED), (LONG, REFUSED), *((e, REFUSED) for e in NOT_TEXT)],
    "ui_locales": [("xx-YY de_DE *", ASKED), (["de", "en"], REFUSED), (LONG, REFUSED), ("\0", REFUSED)],
    "request": [("nonsense", REFUSED), ("f" * 32, REFUSED), ("", REFUSED), ("\0", REFUSED), (LONG, REFUSED)],
    "unheard-of": [("anything", ASKED), (["one", "two"], ASKED), ("\0", ASKED), (b"\xff", ASKED)],
}  # fmt: skip


def logout(wire, method: str, given: dict[str, object]):
    """Ask to sign out, by a link or by another site's form."""
    query = urlencode({name: value for name, value in given.items() if value is not None}, doseq=True)
    if method == "GET":
        return wire.client.get(f"{LOGOUT}?{query}")
    sent = wire.client.post(LOGOUT, data=query, content_type=FORM)
    return wire.client.get(sent.headers["Location"]) if sent.status_code == 303 else sent


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", SIGNING_OUT)
def test_invalid_logout_request_parameter_is_rejected_without_redirect(rp, browser, name, method):
    for value, outcome in SIGNING_OUT[name]:
        if (name, method) == ("request", "POST"):
            outcome = ASKED  # it names what was stored: a form is stored itself
        given = {"client_id": rp.id, "post_logout_redirect_uri": BYE, "state": "1", name: value}
        answer, case = logout(browser, method, given), (name, short(value))
        if outcome == ASKED:
            assert answer.status_code in (200, 413), (case, answer.status)
            assert answer.status_code == 200 or value == LONG, case
        else:
            assert answer.status_code in (400, 413, 414), (case, answer.status)
        assert "Location" not in answer.headers, case
    assert browser.signed_in_as() == "ada@example.com"


@pytest.mark.parametrize("name", [name for name in SIGNING_OUT if name not in ("request", "logout_hint", "ui_locales")])
def test_logout_confirmation_with_invalid_parameter_keeps_the_session(rp, browser, name):
    token = browser.fetch_csrf()
    for value, outcome in SIGNING_OUT[name]:
        if outcome != REFUSED or name == "id_token_hint" or isinstance(value, (list, bytes)):
            continue  # the form has no hint; it reads the first of several, and what is no UTF-8 as it is written
        given = {"client_id": rp.id, "post_logout_redirect_uri": BYE, "state": "1", name: value, "csrf_token": token}
        body = urlencode({field: each for field, each in given.items() if each is not None}, doseq=True)
        answer = browser.client.post(f"{LOGOUT}/confirm", data=body, content_type=FORM)
        assert answer.status_code in (400, 413), (name, short(value), answer.status)
        assert "Location" not in answer.headers, (name, short(value))
    assert browser.signed_in_as() == "ada@example.com"


# --- /oauth/register ----------------------------------------------------------------------------

KINDS: list[object] = [
    7, -1, 1.5, 10**400, True, "", "x", "a\0b", "\ud800", "x" * 50_000, [], [[]], [7], [None], ["x"], ["a\0b"],
    ["x" * 50_000], ["x"] * 60, {}, {"keys": 1}, {"keys": [None]}, {"keys": [{"kty": []}]}, {"x": {"x": {}}},
    {"keys": [Signer().key.as_dict(private=True)]},
]  # fmt: skip
"""Values of each type that JSON has, small and large."""

ERRORS = ("invalid_client_metadata", "invalid_redirect_uri")


def is_expected(answer) -> bool:
    """Return whether metadata was accepted or rejected as in RFC 7591, section 3.2.2, without side effects."""
    if answer.status_code in (200, 201):
        return True
    return answer.status_code == 400 and answer.json["error"] in ERRORS and len(answer.json["error_description"]) > 5


@pytest.mark.one_database
@pytest.mark.parametrize("name", Metadata.model_fields)
def test_client_metadata_of_any_type_is_registered_or_rejected_cleanly(registrar, registered, rows, name):
    for value in KINDS:
        for answer in (registrar.register(**{name: value}), put(registrar, registered, **{name: value})):
            assert is_expected(answer), (name, short(value), answer.status, answer.text[:200])
    for row in rows(OAuthClient):
        assert "\0" not in str(row.registered)


def put(registrar: Registrar, registered: dict[str, Any], **different: Any):
    """Replace what is registered."""
    return registrar.manage("PUT", registered, json=METADATA | {"client_id": registered["client_id"]} | different)


@pytest.mark.parametrize("more", [{"kid": 10**400}, {"more": [{"x": 10**400}]}, {"kid": "\ud800"}], ids=str)
def test_registration_of_a_jwk_that_cannot_be_stored_is_rejected(registrar, more):
    keys = {"keys": [Signer().jwks["keys"][0] | more]}
    answer = registrar.register(jwks=keys, token_endpoint_auth_method="private_key_jwt")
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_client_metadata")


def test_registration_of_a_private_key_is_rejected(registrar):
    keys = {"keys": [*Signer().jwks["keys"], Signer().key.as_dict(private=True)]}
    answer = registrar.register(jwks=keys, token_endpoint_auth_method="private_key_jwt")
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_client_metadata")
    assert "private" in answer.json["error_description"] or "jwks" in answer.json["error_description"]


@pytest.mark.parametrize(
    "different",
    [{"client_id": each} for each in (None, "", "other", 7, ["x"], {}, True)]
    + [{"client_secret": each} for each in ("", "wrong", 7, ["x"], {}, True)],
    ids=str,
)
def test_update_with_wrong_client_id_or_secret_is_rejected(registrar, registered, rows, different):
    before = rows(OAuthClient)[0].registered
    answer = put(registrar, registered, client_name="Changed", **different)
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_client_metadata")
    assert rows(OAuthClient)[0].registered == before


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("client_id", ["nobody", "x" * 3000, "%00", "%ff", "ä", "a%20b", "..", "grafana"])
def test_registration_token_cannot_manage_another_client(app, rp, registrar, registered, method, client_id):
    token = registered["registration_access_token"]
    body = {"json": METADATA | {"client_id": client_id}} if method == "PUT" else {}
    http = app.test_client(use_cookies=False)
    answer = http.open(f"{PATH}/{client_id}", method=method, headers={"Authorization": f"Bearer {token}"}, **body)
    assert answer.status_code in (401, 404, 405), answer.status
    assert answer.mimetype == "application/json"
    assert registrar.manage("GET", registered).status_code == 200
    assert rp.post("/oauth/token", grant_type="x").json["error"] == "unsupported_grant_type"


@pytest.mark.parametrize(
    "sent", ["Bearer", "Bearer ", "Basic YTpi", "bearer {} x", "Bearer {},", "Bearer x", "{}", "é"]
)
def test_malformed_registration_token_is_rejected(app, registrar, registered, sent):
    http = app.test_client(use_cookies=False)
    header = sent.format(registered["registration_access_token"])
    for method in ("GET", "PUT", "DELETE"):
        answer = http.open(
            f"{PATH}/{registered['client_id']}", method=method, headers={"Authorization": header}, json=METADATA
        )
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_token")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert registrar.manage("GET", registered).status_code == 200
