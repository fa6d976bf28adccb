"""Stolen logs or a stolen database contain no credentials of apps or of their users."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.client_rows import ASSERTION_TYPE, Signer
from tests.client_rows import register as store
from tests.devices import Device, tv
from tests.dpop import ProofKey
from tests.forward_auth import FILE, Proxy
from tests.functional.oidc.test_interaction import decide
from tests.functional.oidc.test_registration import Registrar
from tests.functional.oidc.test_registration import issue as issue
from tests.functional.signin.test_secrecy import dump
from tests.functional.signin.test_secrecy import said as said
from tests.oidc import RelyingParty, register
from tests.signed_in import give_token, sign_in
from tests.wire import Program, Wire

Found = dict[str, str]


@pytest.fixture
def app(make_app, tmp_path, clock):
    """A service with apps of both kinds."""
    (tmp_path / "apps.toml").write_text(FILE)
    return make_app(apps_file=str(tmp_path / "apps.toml"), forward_auth_proxies=("10.0.0.0/29",))


@pytest.fixture
def endpoint_app(app, endpoint) -> RelyingParty:
    """An app with back-channel logout and consent."""
    return register(app, "wiki", consent="ask", backchannel_logout_uri=endpoint.url)


def named(prefix: str, values: dict[str, Any]) -> Found:
    """Return the texts among these values, by a name that a failure shows."""
    return {f"{prefix} {name}": value for name, value in values.items() if isinstance(value, str) and len(value) > 15}


def of_a_sign_in(rp: RelyingParty, browser: Wire) -> Found:
    """Sign in to an app, including every failure, and sign out."""
    page = browser.get(rp.request(scope="openid email offline_access"))
    found = {"client secret": rp.secret, "csrf token": page.csrf_token}
    first = rp.answer(decide(browser, page, "yes"))
    found |= {"code": first["code"], "state": rp.state, "nonce": rp.nonce, "verifier": rp.verifier}
    rp.exchange(first["code"], code_verifier="x" * 43)
    tokens = rp.exchange(first["code"]).json
    found |= named("first", {name: tokens[name] for name in ("access_token", "refresh_token", "id_token")})
    rp.exchange(first["code"])
    tokens = rp.tokens(browser, scope="openid email offline_access")
    newer = rp.refresh(tokens["refresh_token"]).json
    rp.refresh(newer["refresh_token"], scope="openid phone")
    rp.userinfo(newer["access_token"])
    rp.http.get("/oauth/userinfo", query_string={"access_token": newer["access_token"]})
    rp.post("/oauth/introspect", token=newer["access_token"])
    rp.post("/oauth/revoke", token=newer["refresh_token"])
    rp.post("/oauth/token", auth=False, client_id=rp.id, client_secret="wrong-" + rp.secret, grant_type="x")
    return found | named("newer", {name: newer[name] for name in ("access_token", "refresh_token", "id_token")})


def of_a_pushed_request(rp: RelyingParty, browser: Wire) -> Found:
    """Push a request, and have it answered."""
    address = rp.pushed()
    code = rp.answer(browser.client.get(address))["code"]
    return {"pushed": parse_qs(urlsplit(address).query)["request_uri"][0].rpartition(":")[2], "code of pushed": code}


def of_a_device(app: Any, browser: Wire) -> Found:
    """Connect a device."""
    device = Device(tv(app))
    device.poll()
    browser.get(f"/device?user_code={device.user_code}")
    browser.post("/device", user_code=device.user_code)
    assert browser.post("/device/consent", user_code=device.user_code, allow="yes").ok
    found = named("device's", {"code": device.told["device_code"]} | device.tokens())
    return found | {"user code": device.user_code, "compact user code": device.user_code.replace("-", "")}


def of_a_registration(app: Any, token: str) -> Found:
    """Register a client, and have it change itself."""
    registrar = Registrar(app, token)
    made = registrar.register().json
    registrar.manage("GET", made)
    registrar.manage("PUT", made | {"registration_access_token": "x" * 40}, json={})
    return {"initial token": token} | {name: made[name] for name in ("client_secret", "registration_access_token")}


def of_proofs(app: Any, browser: Wire) -> Found:
    """Authenticate by what an app signs, and bind tokens to a key."""
    signer, key, spa = Signer(), ProofKey(), register(app, "spa", public=True)
    store(app, "signing", auth_method="private_key_jwt", jwks=signer.jwks, secret="")
    fields = signer.sign("signing")
    assert fields["client_assertion_type"] == ASSERTION_TYPE
    RelyingParty(app, "signing").post("/oauth/par", auth=False, **fields)
    headers = key.headers()
    tokens = spa.exchange(spa.code(browser), headers=headers).json
    spa.userinfo(tokens["access_token"], key.headers("/oauth/userinfo", "GET", token=tokens["access_token"]))
    spa.userinfo(tokens["access_token"], headers)
    return {"assertion": fields["client_assertion"], "proof": headers["DPoP"], "bound token": tokens["access_token"]}


def of_a_protected_app(app: Any, browser: Wire, program: Program) -> Found:
    """Enter an app behind a proxy, by a browser and a program."""
    proxy, wiki = Proxy(browser), "https://wiki.example.com"
    begun = proxy.follow(proxy.ask(f"{wiki}/notes?secret=x"))
    binding = next(each.value for each in browser.client._cookies.values() if "gate_entry" in each.key)
    sent = proxy.follow(begun)
    ticket = parse_qs(urlsplit(sent.headers["Location"]).query)["ticket"][0]
    for _ in range(2):
        proxy.follow(sent)
    cookie = next(each.value for each in browser.client._cookies.values() if each.key == "latchkey_gate")
    proxy.ask(f"{wiki}/notes", headers={"Authorization": f"Bearer {program.token}"})
    proxy.ask(f"{wiki}/metrics")
    return {"binding": binding, "ticket": ticket, "app's cookie": cookie, "program's token": program.token}


@pytest.fixture
def journeys(app, ada, issue, endpoint_app, endpoint, deliver) -> Callable[[], Found]:
    """Runs every flow of apps; returns all secrets that occurred."""

    def go() -> Found:
        browser = sign_in(Wire(app, "form"), ada)
        found = of_a_sign_in(endpoint_app, browser) | of_a_pushed_request(register(app), browser)
        found |= of_a_device(app, browser) | of_a_registration(app, issue()) | of_proofs(app, browser)
        found |= of_a_protected_app(app, browser, give_token(Program(app), ada))
        endpoint.answers = [500]
        browser.get(f"/oauth/logout?id_token_hint={found['first id_token']}")
        browser.post("/logout")
        found |= named("cookie", {name: value for name, value in browser.cookies.items() if "flash" not in name})
        deliver()
        return found | {"logout token": endpoint.posted[0].token}

    return go


@pytest.mark.both_databases
def test_logs_contain_no_oauth_secrets(said, journeys, caplog):
    caplog.set_level("DEBUG")
    secrets = journeys()
    assert {"device's access_token", "newer refresh_token", "bound token", "logout token"} <= secrets.keys()
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name != "mail.log")
    lines = said() + ours
    for route in ("authorize", "token", "par", "device", "register", "introspect", "revoke", "logout"):
        assert f'"/oauth/{route}"' in lines, route
    assert '"/gate/forward"' in lines
    assert "message.failed" in lines
    assert [name for name, value in secrets.items() if value in lines] == []
    assert "ada@example.com" not in lines


def test_endpoint_exception_logs_no_secrets(said, app, ada, grafana, monkeypatch):
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("something broke")

    code = grafana.code(sign_in(Wire(app, "form"), ada))
    monkeypatch.setattr("app.oidc.token_views.token_response", fail)
    logging.getLogger().setLevel("DEBUG")
    assert grafana.exchange(code).status_code == 500
    assert "something broke" in said()
    assert [value for value in (code, grafana.secret, grafana.verifier) if value in said()] == []


@pytest.mark.both_databases
def test_database_contains_no_oauth_secrets(journeys, database):
    secrets, kept = journeys(), dump(database)
    kept_on_purpose = {"nonce", "state"}  # an app's own, which come back to it; and a request's public id
    found = [name for name, value in secrets.items() if value in kept and name not in kept_on_purpose | {"pushed"}]
    assert found == []
