"""npm openid-client and oauth4webapi, in Node scripts: both validate every response strictly."""

from __future__ import annotations

import pytest
from joserfc.jwk import ECKey

pytestmark = pytest.mark.one_database


@pytest.fixture
def run(node, issuer, landing, page):
    """Runs a client's script while Ada performs ``steps`` in the browser; returns its last message."""

    def run(script, *steps, **options):
        running = node(script, issuer=issuer, redirect_uri=f"{landing.url}/callback", **options)
        page.goto(running.read()["visit"])
        for step in steps:
            step()
        page.wait_for_url(f"{landing.url}/callback?**")
        running.write(page.url)
        return running.read()

    return run


def test_openid_client_completes_the_code_flow(run, register, landing, ada, enter_code):
    party = register(redirect_uris=[f"{landing.url}/callback"])
    check(run("openid_client.mjs", enter_code, id=party.id, secret=party.secret), ada)


def test_openid_client_registers_itself_and_completes_the_code_flow(
    run, landing, ada, session_here, allow, initial_access_token
):
    metadata = {
        "client_name": "Newcomer",
        "redirect_uris": [f"{landing.url}/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "scope": "openid email groups",
    }
    check(run("openid_client.mjs", allow, initialAccessToken=initial_access_token, metadata=metadata), ada)


def check(found, ada):
    """Check openid-client's output."""
    assert found["pkce"] is True
    assert found["mixedUp"]["code"] == "OAUTH_INVALID_RESPONSE"
    assert (found["acr"], found["amr"]) == ("aal1", ["otp"])
    assert (found["userinfo"]["email"], found["userinfo"]["groups"]) == (ada.email, ["staff"])
    assert (found["rotated"], found["same"]) == (True, True)
    assert (found["before"]["active"], found["after"]) == (True, {"active": False})
    assert (found["over"]["error"], found["over"]["status"]) == ("invalid_grant", 400)


def of_secret():
    """A client with a secret and the default ID token algorithm."""
    return {}, {"alg": "RS256"}


def of_device():
    """A public client whose tokens are bound to a key."""
    return {"public": True, "require_dpop": True, "id_token_alg": "ES256"}, {"alg": "ES256", "dpop": True}


def of_key():
    """A client that signs assertions."""
    key = ECKey.generate_key("P-256", parameters={"kid": "of-a-test", "alg": "ES256"})
    registered = {"auth_method": "private_key_jwt", "jwks": {"keys": [key.as_dict(private=False)]}}
    return registered | {"id_token_alg": "EdDSA"}, {"alg": "EdDSA", "jwk": key.as_dict(private=True)}


@pytest.mark.parametrize("kind", [of_secret, of_device, of_key], ids=["secret", "public with DPoP", "private_key_jwt"])
def test_oauth4webapi_completes_the_code_flow(run, register, landing, ada, enter_code, kind):
    registered, options = kind()
    party = register(redirect_uris=[f"{landing.url}/callback"], **registered)
    found = run("oauth4webapi.mjs", enter_code, id=party.id, secret=party.secret, scope="openid email", **options)
    is_bound, can_ask = "dpop" in options, "public" not in registered
    assert (found["type"], found["stolen"]) == (("dpop", 401) if is_bound else ("bearer", 200))
    assert found["same"] is True
    assert found["userinfo"]["email"] == ada.email
    assert (found["wrong"]["error"], found["twice"]["error"]) == ("invalid_grant", "invalid_grant")
    if can_ask:
        assert (found["before"]["active"], found["after"]) == (True, {"active": False})
    assert found["over"]["error"] == "invalid_grant"
    assert found["mixedUp"]["code"] == "OAUTH_INVALID_RESPONSE"
