"""/oauth/register: clients that register themselves, and change or delete what they registered (RFC 7591, RFC 7592)."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from app.audit import Event
from app.crypto import secrets
from app.oidc.clients import client_of
from app.oidc.models import Consent, Grant, OAuthClient, OAuthClientOrigin, RegistrationToken
from tests.client_rows import SECRET, Signer
from tests.client_rows import register as store
from tests.functional.oidc.test_interaction import decide
from tests.oidc import RelyingParty, work
from tests.openapi import check_answer

URI = "https://app.example.com/callback"
METADATA = {"client_name": "An app", "redirect_uris": [URI]}
PATH = "/oauth/register"


class Registrar:
    """A program that registers clients, without cookies."""

    def __init__(self, app, token: str = "") -> None:
        self.app, self.token = app, token

    def send(self, method: str, path: str = PATH, token: str | None = None, **body: Any):
        token = self.token if token is None else token
        headers = body.pop("headers", {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        http = self.app.test_client(use_cookies=False)
        environ = {"REMOTE_ADDR": body.pop("address", "192.0.2.7")}
        answer = http.open(path, method=method, headers=headers, environ_base=environ, **body)
        check_answer(method, path, answer)
        return answer

    def register(self, token: str | None = None, **metadata: Any):
        return self.send("POST", token=token, json=METADATA | metadata)

    def manage(self, method: str, registered: dict[str, Any], **body: Any):
        """Read, replace or delete what was registered, with its own token."""
        path = registered["registration_client_uri"].removeprefix("http://localhost")
        return self.send(method, path, registered["registration_access_token"], **body)


@pytest.fixture
def issue(app):
    """Issues an initial access token: ``issue(uses=1)``."""

    def make(uses: int = 1, lasts: timedelta = timedelta(days=7)) -> str:
        from app.extensions import db
        from app.oidc.client_store import issue_registration_token

        with app.app_context():
            token = issue_registration_token("test", uses, lasts, by="operator")
            db.session.commit()
            return token

    return make


@pytest.fixture
def registrar(app, issue) -> Registrar:
    """A program with a token for many clients."""
    return Registrar(app, issue(uses=100))


@pytest.fixture
def registered(registrar) -> dict[str, Any]:
    """The registration response of a client that registered itself."""
    answer = registrar.register()
    assert answer.status_code == 201, answer.text
    return answer.json


def error_of(answer) -> tuple[int, str]:
    assert answer.mimetype == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.status_code, answer.json["error"]


def left(rows) -> int:
    return rows(RegistrationToken)[0].uses_left


# --- register -----------------------------------------------------------------------------------


def test_registration_returns_secrets_and_stores_only_digests(registrar, rows, clock):
    answer = registrar.register()
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    told = answer.json
    [row] = rows(OAuthClient)
    assert row.id == told["client_id"]
    assert row.secret_digest == secrets.digest(told["client_secret"])
    assert row.registration_digest == secrets.digest(told["registration_access_token"])
    assert told["client_secret_expires_at"] == 0
    assert abs(told["client_id_issued_at"] - clock.unix()) < 60
    assert told["registration_client_uri"] == f"http://localhost{PATH}/{row.id}"
    assert (told["client_name"], told["redirect_uris"]) == ("An app", [URI])
    assert told["token_endpoint_auth_method"] == "client_secret_basic"
    assert (told["grant_types"], told["response_types"]) == (["authorization_code"], ["code"])
    client = client_of(row)
    assert (client.source, client.consent, client.groups, client.pkce) == ("registration", "ask", (), "required")
    assert [event.facts for event in rows(Event, name="client.created")] == [
        {"client": row.id, "by": "registration"},
    ]
    kept = repr([vars(each) for model in (OAuthClient, Event) for each in rows(model)])
    assert told["client_secret"] not in kept
    assert told["registration_access_token"] not in kept


def test_self_registered_client_can_sign_users_in(app, registrar, browser):
    told = registrar.register(grant_types=["authorization_code", "refresh_token"]).json
    party = RelyingParty(app, told["client_id"], told["client_secret"], redirect_uri=URI)
    page = browser.get(party.request(scope="openid email"))
    assert "Allow An app?" in page.text
    fields = {"csrf_token": page.csrf_token, "request": page.page.value("request"), "allow": "yes"}
    answer = party.answer(browser.client.post("/oauth/consent", data=fields))
    tokens = party.exchange(answer["code"]).json
    assert party.userinfo(tokens["access_token"]).json["email"] == "ada@example.com"


@pytest.mark.both_databases
def test_registration_stores_and_returns_all_supported_metadata(registrar, rows):
    metadata = {
        "client_name": "Everything", "redirect_uris": [URI, "com.example.app:/cb"], "application_type": "native",
        "token_endpoint_auth_method": "private_key_jwt", "jwks": Signer().jwks, "response_types": ["code"],
        "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
        "scope": "openid email", "client_uri": "https://app.example.com/", "logo_uri": "https://app.example.com/l.svg",
        "policy_uri": "https://app.example.com/p", "tos_uri": "https://app.example.com/t", "subject_type": "public",
        "id_token_signed_response_alg": "EdDSA", "post_logout_redirect_uris": ["https://app.example.com/bye"],
        "backchannel_logout_uri": "https://app.example.com/logout", "backchannel_logout_session_required": True,
        "default_max_age": 3600, "require_pushed_authorization_requests": True, "dpop_bound_access_tokens": True,
    }  # fmt: skip
    told = registrar.register(**metadata).json
    assert {name: told.get(name) for name in metadata} == metadata
    assert "client_secret" not in told
    assert rows(OAuthClient)[0].secret_digest is None


def test_unsupported_and_privileged_metadata_is_ignored(registrar):
    told = registrar.register(
        contacts=["ada@example.com"], software_id="x", initiate_login_uri="https://app.example.com/login",
        request_object_signing_alg="none", scope="openid admin", client_id="mine", client_secret=SECRET,
        consent="trusted", groups=["staff"], source="file", name="Other",
    )  # fmt: skip
    assert told.status_code == 201
    assert told.json.keys().isdisjoint({"contacts", "software_id", "initiate_login_uri", "consent", "groups", "source"})
    assert (told.json["scope"], told.json["client_name"]) == ("openid", "An app")
    assert told.json["client_id"] != "mine"
    assert told.json["client_secret"] != SECRET


def test_self_registered_client_cannot_become_trusted(registrar, rows):
    registrar.register(consent="trusted", trusted=True)
    assert client_of(rows(OAuthClient)[0]).consent == "ask"


def test_client_name_defaults_to_the_redirect_host(registrar):
    assert registrar.register(client_name=None).json["client_name"] == "app.example.com"
    assert registrar.register(client_name="").json["client_name"] == "app.example.com"


def test_client_without_auth_method_may_use_header_or_body(app, registrar, registered):
    party = RelyingParty(app, registered["client_id"], registered["client_secret"])
    assert party.post("/oauth/token", grant_type="x").json["error"] == "unsupported_grant_type"
    in_body = {"client_id": registered["client_id"], "client_secret": registered["client_secret"]}
    assert party.post("/oauth/token", auth=False, grant_type="x", **in_body).json["error"] == "unsupported_grant_type"


def test_public_client_gets_no_secret_and_its_origins_are_allowed(registrar, rows):
    told = registrar.register(
        token_endpoint_auth_method="none",
        redirect_uris=["https://spa.example.com/cb", "https://spa.example.com/silent", "http://localhost:6274/cb",
                       "com.example.app:/cb"],
    )  # fmt: skip
    assert told.status_code == 201, told.text
    assert "client_secret" not in told.json
    assert rows(OAuthClient)[0].secret_digest is None
    assert [row.origin for row in rows(OAuthClientOrigin)] == ["http://localhost:6274", "https://spa.example.com"]


def test_device_client_can_register_without_redirect_uris(registrar):
    device = ["urn:ietf:params:oauth:grant-type:device_code"]
    told = registrar.register(redirect_uris=[], grant_types=device, response_types=[])
    assert (told.status_code, told.json["response_types"], "redirect_uris" in told.json) == (201, [], False)


WRONG_ADDRESSES = {
    "missing": {"redirect_uris": None},
    "empty": {"redirect_uris": []},
    "text": {"redirect_uris": URI},
    "numbers": {"redirect_uris": [7]},
    "an object": {"redirect_uris": {"0": URI}},
    "script": {"redirect_uris": ["javascript:alert(1)"]},
    "data": {"redirect_uris": ["data:text/html,x"]},
    "fragment": {"redirect_uris": [URI + "#x"]},
    "pattern": {"redirect_uris": ["https://*.example.com/cb"]},
    "user": {"redirect_uris": ["https://ada@app.example.com/cb"]},
    "no TLS": {"redirect_uris": ["http://app.example.com/cb"]},
    "no TLS for one": {"redirect_uris": [URI, "http://10.0.0.1/cb"]},
    "a web app's own scheme": {"redirect_uris": ["com.example.app:/cb"], "application_type": "web"},
    "no dot": {"redirect_uris": ["app:/cb"], "application_type": "native"},
    "blank": {"redirect_uris": [URI + " "]},
    "line end": {"redirect_uris": [URI + "\n"]},
    "long": {"redirect_uris": [URI + "a" * 2048]},
    "many": {"redirect_uris": [f"{URI}/{number}" for number in range(51)]},
    "after sign-out": {"post_logout_redirect_uris": ["javascript:alert(1)"]},
}


@pytest.mark.one_database
@pytest.mark.parametrize("metadata", WRONG_ADDRESSES.values(), ids=WRONG_ADDRESSES)
def test_invalid_redirect_uri_is_rejected(registrar, rows, metadata):
    assert error_of(registrar.register(**metadata)) == (400, "invalid_redirect_uri")
    assert (rows(OAuthClient), left(rows)) == ([], 100)


MODULUS_OF_1024_BITS = base64.urlsafe_b64encode(b"\xc5" * 128).decode().rstrip("=")

WRONG = {
    "name of a wrong type": {"client_name": 7},
    "long name": {"client_name": "x" * 81},
    "name that turns": {"client_name": "a\u202eb"},
    "name that shows nothing": {"client_name": "\u3164"},
    "name that looks like another": {"client_name": "Wi\u034fki"},
    "name with a line end": {"client_name": "a\nb"},
    "unknown method": {"token_endpoint_auth_method": "client_secret_jwt"},
    "method of a wrong type": {"token_endpoint_auth_method": ["none"]},
    "password grant": {"grant_types": ["password"]},
    "implicit grant": {"grant_types": ["authorization_code", "implicit"]},
    "client credentials": {"grant_types": ["client_credentials"]},
    "grants of a wrong type": {"grant_types": "authorization_code"},
    "token response": {"response_types": ["token"]},
    "hybrid response": {"response_types": ["code id_token"]},
    "no response": {"response_types": []},
    "scope as a list": {"scope": ["openid"]},
    "no known scope": {"scope": "admin"},
    "logo that is no URL": {"logo_uri": "javascript:alert(1)"},
    "page that is no URL": {"client_uri": "app.example.com"},
    "policy of a wrong type": {"policy_uri": 7},
    "terms with a blank": {"tos_uri": "https://app.example.com/a b"},
    "keys elsewhere": {"jwks_uri": "https://app.example.com/jwks"},
    "keys here and elsewhere": {"jwks": Signer().jwks, "jwks_uri": "https://app.example.com/jwks"},
    "keys as text": {"jwks": "{}"},
    "no key set": {"jwks": {}},
    "private key": {"jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}},
    "short key": {"jwks": {"keys": [{"kty": "RSA", "n": MODULUS_OF_1024_BITS, "e": "AQAB"}]}},
    "key of another curve": {"jwks": {"keys": [{"kty": "OKP", "crv": "Ed448", "x": "A" * 76}]}},
    "key that is none": {"jwks": {"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}},
    "many keys": {"jwks": {"keys": Signer().jwks["keys"] * 21}},
    "no keys to sign with": {"token_endpoint_auth_method": "private_key_jwt"},
    "unknown subject type": {"subject_type": "private"},
    "sector elsewhere": {"sector_identifier_uri": "https://app.example.com/sector"},
    "pairwise on two hosts": {"subject_type": "pairwise", "redirect_uris": [URI, "https://b.example.com/cb"]},
    "unsigned": {"id_token_signed_response_alg": "none"},
    "signed by the secret": {"id_token_signed_response_alg": "HS256"},
    "logout address that is none": {"backchannel_logout_uri": "app.example.com"},
    "logout address without TLS": {"backchannel_logout_uri": "http://10.0.0.1/logout"},
    "yes as text": {"backchannel_logout_session_required": "true"},
    "age as text": {"default_max_age": "3600"},
    "age below zero": {"default_max_age": -1},
    "age with a point": {"default_max_age": 1.5},
    "age true": {"default_max_age": True},
    "unknown type": {"application_type": "desktop"},
    "pushed as a number": {"require_pushed_authorization_requests": 1},
}


@pytest.mark.one_database
@pytest.mark.parametrize("metadata", WRONG.values(), ids=WRONG)
def test_invalid_client_metadata_is_rejected(registrar, rows, metadata):
    answer = registrar.register(**metadata)
    assert error_of(answer) == (400, "invalid_client_metadata")
    assert len(answer.json["error_description"]) > 10
    for value in metadata.values():
        assert not isinstance(value, str) or len(value) < 5 or value not in answer.json["error_description"]
    assert (rows(OAuthClient), left(rows)) == ([], 100)


BODIES = {
    "a form": ({"data": {"client_name": "x"}}, 415),
    "text": ({"data": "{}", "content_type": "text/plain"}, 415),
    "nothing": ({}, 415),
    "no JSON": ({"data": "{", "content_type": "application/json"}, 400),
    "a list": ({"json": [METADATA]}, 400),
    "twice": ({"data": '{"client_name":"a","client_name":"b"}', "content_type": "application/json"}, 400),
    "no number": ({"data": '{"default_max_age":NaN}', "content_type": "application/json"}, 400),
    "NUL": ({"json": {"client_name": "a\0b"}}, 400),
    "deep": ({"data": '{"jwks":' + "[" * 500 + "]" * 500 + "}", "content_type": "application/json"}, 400),
    "no UTF-8": ({"data": b'{"client_name":"\xff"}', "content_type": "application/json"}, 400),
}


@pytest.mark.one_database
@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=BODIES)
def test_registration_body_that_is_not_valid_json_is_rejected(registrar, rows, body, status):
    assert error_of(registrar.send("POST", **body)) == (status, "invalid_client_metadata")
    assert (rows(OAuthClient), left(rows)) == ([], 100)


@pytest.mark.one_database
def test_oversized_registration_body_is_rejected(registrar, rows):
    assert error_of(registrar.register(client_name="x" * 70_000)) == (413, "invalid_request")
    assert rows(OAuthClient) == []


# --- the initial access token -------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "wrong", "lki_" + "x" * 49, "lkp_" + "x" * 49, SECRET, "é"])
def test_registration_without_valid_initial_token_is_rejected(app, issue, rows, token):
    issue()
    answer = Registrar(app, token).register()
    assert error_of(answer) == (401, "invalid_token")
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="registration"')
    assert ("error=" in answer.headers["WWW-Authenticate"]) == (token != "")
    assert rows(OAuthClient) == []


def test_initial_token_is_read_only_from_the_bearer_header(app, issue):
    token = issue()
    registrar = Registrar(app)
    assert registrar.send("POST", f"{PATH}?access_token={token}", json=METADATA).status_code == 401
    assert registrar.register(access_token=token).status_code == 401
    assert registrar.send("POST", json=METADATA, headers={"Authorization": f"Basic {token}"}).status_code == 401


@pytest.mark.both_databases
def test_initial_token_is_limited_to_its_number_of_uses(app, issue, rows):
    registrar = Registrar(app, issue(uses=2))
    assert [registrar.register().status_code for _ in range(3)] == [201, 201, 401]
    assert (len(rows(OAuthClient)), left(rows)) == (2, 0)


@pytest.mark.both_databases
def test_concurrent_registrations_do_not_exceed_token_uses(app, issue, rows):
    registrar = Registrar(app, issue(uses=2))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: registrar.register().status_code, range(16)))
    assert sorted(found) == [201] * 2 + [401] * 14
    assert (len(rows(OAuthClient)), left(rows)) == (2, 0)


def test_expired_initial_token_is_rejected(app, issue, rows, clock):
    registrar = Registrar(app, issue(lasts=timedelta(hours=1)))
    clock.shift(3601)
    assert error_of(registrar.register()) == (401, "invalid_token")
    assert error_of(registrar.register(grant_types=["password"])) == (401, "invalid_token")
    assert rows(OAuthClient) == []


@pytest.mark.both_databases
def test_rejected_metadata_does_not_use_up_the_token(app, issue, rows):
    registrar = Registrar(app, issue())
    assert registrar.register(grant_types=["password"]).status_code == 400
    assert registrar.register().status_code == 201


@pytest.mark.both_databases
@pytest.mark.settings(failures_per_address=3)
def test_wrong_initial_tokens_are_rate_limited_per_ip_address(app, issue, registrar):
    assert [registrar.register(token="wrong").status_code for _ in range(5)] == [401, 401, 401, 429, 429]
    full = registrar.register()
    assert error_of(full) == (429, "temporarily_unavailable")
    assert int(full.headers["Retry-After"]) > 0
    assert registrar.send("POST", json=METADATA, address="192.0.2.8").status_code == 201


def test_registration_ignores_cookies_and_sends_no_cors_headers(registrar, app, browser):
    """Cookies don't authenticate requests, so another site's page could gain nothing."""
    answer = browser.client.post(PATH, json=METADATA)
    assert answer.status_code == 401
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    answer = registrar.send("POST", json=METADATA, headers=headers)
    assert answer.status_code == 201
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Set-Cookie" not in answer.headers


# --- what was registered ------------------------------------------------------------------------


def test_reading_a_registration_omits_the_secret(registrar, registered):
    answer = registrar.manage("GET", registered)
    assert answer.status_code == 200
    told = dict(registered)
    for once in ("client_secret", "client_secret_expires_at", "client_id_issued_at"):
        told.pop(once)
    assert answer.json == told


@pytest.mark.both_databases
def test_update_replaces_the_whole_registration(registrar, rows):
    first = registrar.register(logo_uri="https://app.example.com/l.svg", scope="openid email", default_max_age=60).json
    new = {"client_id": first["client_id"], "redirect_uris": ["https://b.example.com/cb"], "client_name": "B"}
    answer = registrar.manage("PUT", first, json=new)
    assert (answer.status_code, answer.json["client_name"]) == (200, "B")
    assert answer.json["redirect_uris"] == ["https://b.example.com/cb"]
    assert answer.json.keys().isdisjoint({"logo_uri", "default_max_age", "client_secret"})
    assert answer.json["scope"] == "openid profile email phone groups offline_access"
    assert answer.json["registration_access_token"] == first["registration_access_token"]
    assert rows(OAuthClient)[0].secret_digest == secrets.digest(first["client_secret"])
    assert registrar.manage("GET", first).json == answer.json
    assert [event.name for event in rows(Event)][-1] == "client.changed"


def test_registration_response_can_be_sent_back_as_update(registrar, registered):
    assert registrar.manage("PUT", registered, json=registered).status_code == 200


def test_update_keeps_operator_settings_but_resets_trust(registrar, registered, operator_changes, rows):
    operator_changes(registered["client_id"], "--group", "staff", "--level", "aal2", "--trusted", "--introspects")
    assert (
        registrar.manage("PUT", registered, json=METADATA | {"client_id": registered["client_id"]}).status_code == 200
    )
    client = client_of(rows(OAuthClient)[0])
    assert (client.groups, client.level, client.introspects, client.consent) == (("staff",), "aal2", True, "ask")


@pytest.fixture
def operator_changes(app):
    def run(client_id: str, *words: str) -> None:
        result = app.test_cli_runner().invoke(args=("clients", "change", client_id, *words))
        assert result.exit_code == 0, result.output

    return run


def test_changing_auth_method_removes_or_replaces_the_secret(registrar, registered, rows):
    own = METADATA | {"client_id": registered["client_id"]}
    public = registrar.manage("PUT", registered, json=own | {"token_endpoint_auth_method": "none"})
    assert ("client_secret" in public.json, rows(OAuthClient)[0].secret_digest) == (False, None)
    again = registrar.manage("PUT", registered, json=own)
    assert rows(OAuthClient)[0].secret_digest == secrets.digest(again.json["client_secret"])
    assert again.json["client_secret"] != registered["client_secret"]


@pytest.mark.parametrize("different", [
    {"client_id": None}, {"client_id": "other"}, {"client_id": 7}, {"client_secret": SECRET}, {"client_secret": 7},
    {"redirect_uris": ["http://app.example.com/cb"]}, {"grant_types": ["password"]},
])  # fmt: skip
def test_invalid_update_is_rejected_and_changes_nothing(registrar, registered, different):
    before = registrar.manage("GET", registered).json
    answer = registrar.manage("PUT", registered, json=METADATA | {"client_id": registered["client_id"]} | different)
    assert answer.status_code == 400
    assert answer.json["error"] in ("invalid_client_metadata", "invalid_redirect_uri")
    assert registrar.manage("GET", registered).json == before


def test_update_may_include_the_current_secret(registrar, registered):
    body = METADATA | {"client_id": registered["client_id"], "client_secret": registered["client_secret"]}
    assert registrar.manage("PUT", registered, json=body).status_code == 200


@pytest.mark.both_databases
def test_deleting_a_registration_revokes_tokens_and_consents(app, registrar, registered, browser, rows):
    party = RelyingParty(app, registered["client_id"], registered["client_secret"], redirect_uri=URI)
    page = browser.get(party.request())
    fields = {"csrf_token": page.csrf_token, "request": page.page.value("request"), "allow": "yes"}
    tokens = party.exchange(party.answer(browser.client.post("/oauth/consent", data=fields))["code"]).json
    assert party.userinfo(tokens["access_token"]).status_code == 200
    gone = registrar.manage("DELETE", registered)
    assert (gone.status_code, gone.data) == (204, b"")
    assert party.userinfo(tokens["access_token"]).status_code == 401
    work(app)
    assert (rows(OAuthClient), rows(Grant), rows(Consent)) == ([], [], [])
    for method in ("GET", "PUT", "DELETE"):
        assert error_of(registrar.manage(method, registered, json=METADATA)) == (401, "invalid_token")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_client_can_be_managed_only_with_its_own_token(app, registrar, registered, rows, method):
    other = registrar.register().json
    path = registered["registration_client_uri"].removeprefix("http://localhost")
    before = rows(OAuthClient)
    for token in ("", "wrong", registrar.token, registered["client_secret"], other["registration_access_token"]):
        answer = registrar.send(method, path, token, json=METADATA | {"client_id": registered["client_id"]})
        assert error_of(answer) == (401, "invalid_token")
    assert [vars(row)["registered"] for row in rows(OAuthClient)] == [vars(row)["registered"] for row in before]


@pytest.mark.parametrize("client_id", ["nobody", "x" * 300, "%00", "%F0%9F%98%80", "command"])
def test_unknown_client_id_gets_the_same_error_as_a_wrong_token(app, registrar, registered, client_id):
    store(app, "command")
    answer = registrar.send("GET", f"{PATH}/{client_id}", registered["registration_access_token"])
    assert error_of(answer) == (401, "invalid_token")
    assert answer.json == registrar.send("GET", f"{PATH}/{registered['client_id']}", "wrong").json


def test_disabled_client_cannot_manage_itself(app, registrar, registered):
    app.test_cli_runner().invoke(args=("clients", "disable", registered["client_id"]))
    for method in ("GET", "PUT", "DELETE"):
        body = METADATA | {"client_id": registered["client_id"]}
        assert error_of(registrar.manage(method, registered, json=body)) == (401, "invalid_token")


def test_unsupported_http_methods_return_405(registrar, registered):
    assert registrar.send("GET", headers={"Accept": "application/json"}).status_code == 405
    assert registrar.manage("POST", registered, json={}).status_code == 405


@pytest.mark.both_databases
def test_reading_a_registration_runs_one_query(registrar, registered, statements):
    with statements() as seen:
        registrar.manage("GET", registered)
    assert len(seen) == 1, seen


def test_scope_added_after_consent_page_was_shown_requires_consent_again(app, registrar, browser):
    told = registrar.register(scope="openid", token_endpoint_auth_method="none").json
    rp = RelyingParty(app, told["client_id"])
    page = browser.get(rp.request(scope="openid email"))
    assert "See your email" not in page.text
    assert registrar.manage("PUT", told, json=told | {"scope": "openid email"}).status_code == 200
    again = decide(browser, page, "yes")
    assert (again.status_code, "See your email" in again.text) == (200, True)
    code = rp.answer(decide(browser, page, "yes"))["code"]
    assert rp.exchange(code).json["scope"] == "openid email"
