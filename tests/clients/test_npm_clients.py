"""npm openid-client and oauth4webapi, each in a script of its own: every answer is checked to the letter."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.one_database


@pytest.fixture
def run(node, issuer, landing, page, enter_code):
    """Runs a client's script, with Ada in the browser; returns what it says at the end."""

    def run(script, *, consents=False, **options):
        running = node(script, issuer=issuer, redirect_uri=f"{landing.url}/callback", **options)
        page.goto(running.read()["visit"])
        enter_code()
        if consents:
            page.get_by_role("button", name="Allow", exact=True).click()
        page.wait_for_url(f"{landing.url}/callback?**")
        running.write(page.url)
        return running.read()

    return run


def test_openid_client(run, register, landing, ada):
    party = register(redirect_uris=[f"{landing.url}/callback"])
    check(run("openid_client.mjs", id=party.id, secret=party.secret), ada)


def test_openid_client_that_registers_itself(run, landing, ada, initial_access_token):
    metadata = {
        "client_name": "Newcomer",
        "redirect_uris": [f"{landing.url}/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "scope": "openid email groups",
    }
    options = {"initialAccessToken": initial_access_token, "metadata": metadata, "consents": True}
    check(run("openid_client.mjs", **options), ada)


def check(found, ada):
    """Look at what openid-client has said."""
    assert found["pkce"] is True
    assert found["mixedUp"]["code"] == "OAUTH_INVALID_RESPONSE"
    assert (found["acr"], found["amr"]) == ("aal1", ["otp"])
    assert (found["userinfo"]["email"], found["userinfo"]["groups"]) == (ada.email, ["staff"])
    assert (found["rotated"], found["same"]) == (True, True)
    assert (found["before"]["active"], found["after"]) == (True, {"active": False})
    assert (found["over"]["error"], found["over"]["status"]) == ("invalid_grant", 400)


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_oauth4webapi(run, register, landing, ada, alg):
    party = register(redirect_uris=[f"{landing.url}/callback"], id_token_alg=alg)
    found = run("oauth4webapi.mjs", id=party.id, secret=party.secret, scope="openid email", alg=alg)
    assert found["same"] is True
    assert found["userinfo"]["email"] == ada.email
    assert (found["wrong"]["error"], found["twice"]["error"]) == ("invalid_grant", "invalid_grant")
    assert (found["before"]["active"], found["after"]) == (True, {"active": False})
    assert found["over"]["error"] == "invalid_grant"
    assert found["mixedUp"]["code"] == "OAUTH_INVALID_RESPONSE"
