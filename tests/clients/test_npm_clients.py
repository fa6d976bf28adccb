"""npm openid-client and oauth4webapi, each in a script of its own: every answer is checked to the letter."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.one_database


@pytest.fixture
def run(node, issuer, landing, page):
    """Runs a client's script, with Ada in the browser, who does ``steps``; returns what it says at the end."""

    def run(script, *steps, **options):
        running = node(script, issuer=issuer, redirect_uri=f"{landing.url}/callback", **options)
        page.goto(running.read()["visit"])
        for step in steps:
            step()
        page.wait_for_url(f"{landing.url}/callback?**")
        running.write(page.url)
        return running.read()

    return run


def test_openid_client(run, register, landing, ada, enter_code):
    party = register(redirect_uris=[f"{landing.url}/callback"])
    check(run("openid_client.mjs", enter_code, id=party.id, secret=party.secret), ada)


def test_openid_client_that_registers_itself(run, landing, ada, session_here, allow, initial_access_token):
    metadata = {
        "client_name": "Newcomer",
        "redirect_uris": [f"{landing.url}/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "scope": "openid email groups",
    }
    check(run("openid_client.mjs", allow, initialAccessToken=initial_access_token, metadata=metadata), ada)


def check(found, ada):
    """Look at what openid-client has said."""
    assert found["pkce"] is True
    assert found["mixedUp"]["code"] == "OAUTH_INVALID_RESPONSE"
    assert (found["acr"], found["amr"]) == ("aal1", ["otp"])
    assert (found["userinfo"]["email"], found["userinfo"]["groups"]) == (ada.email, ["staff"])
    assert (found["rotated"], found["same"]) == (True, True)
    assert (found["before"]["active"], found["after"]) == (True, {"active": False})
    assert (found["over"]["error"], found["over"]["status"]) == ("invalid_grant", 400)


@pytest.mark.parametrize(
    ("alg", "dpop"), [("RS256", False), ("ES256", True), ("EdDSA", False)], ids=["RS256", "ES256 DPoP", "EdDSA"]
)
def test_oauth4webapi(run, register, landing, ada, enter_code, alg, dpop):
    party = register(redirect_uris=[f"{landing.url}/callback"], id_token_alg=alg, require_dpop=dpop)
    options = {"id": party.id, "secret": party.secret, "scope": "openid email", "alg": alg, "dpop": dpop}
    found = run("oauth4webapi.mjs", enter_code, **options)
    assert found["token_type"] == ("dpop" if dpop else "bearer")
    assert found["stolen"] == (401 if dpop else 200)
    assert found["same"] is True
    assert found["userinfo"]["email"] == ada.email
    assert (found["wrong"]["error"], found["twice"]["error"]) == ("invalid_grant", "invalid_grant")
    assert (found["before"]["active"], found["after"]) == (True, {"active": False})
    assert found["over"]["error"] == "invalid_grant"
    assert found["mixedUp"]["code"] == "OAUTH_INVALID_RESPONSE"
