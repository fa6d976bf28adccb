"""PyPI requests-oauth2client, a program that acts for a user: PKCE, ``iss``, refresh, revocation."""

from __future__ import annotations

import pytest
import requests
from requests_oauth2client import AuthorizationResponseError, InvalidGrant, OAuth2Client

pytestmark = pytest.mark.one_database

SCOPE = "openid email offline_access"


@pytest.fixture
def client(issuer, register, landing):
    """The program, registered as an app that asks for consent; ``testing`` allows plain http."""
    party = register(name="Backup", redirect_uris=[f"{landing.url}/callback"], consent="ask")
    return OAuth2Client.from_discovery_endpoint(
        issuer=issuer,
        client_id=party.id,
        client_secret=party.secret,
        redirect_uri=party.redirect_uri,
        testing=True,
    )


@pytest.fixture
def ask(client, page, landing):
    """Leads the browser to us, where Ada does ``steps``; returns the answer that she comes back with.

    It is validated: its state, and who it is from.
    """

    def ask(*steps, pushed=False, **different):
        asked = client.authorization_request(
            scope=SCOPE, authorization_response_iss_parameter_supported=True, **different
        )
        page.goto(client.pushed_authorization_request(asked).uri if pushed else asked.uri)
        for step in steps:
            step()
        page.wait_for_url(f"{landing.url}/callback?**")
        return asked.validate_callback(page.url)

    return ask


@pytest.mark.parametrize("pushed", [False, True], ids=["sent", "pushed"])
def test_offline_access_works_after_the_browser_session_is_gone(client, ask, enter_code, allow, ada, page, pushed):
    token = client.authorization_code(ask(enter_code, allow, pushed=pushed))
    assert client.userinfo(token)["email"] == ada.email
    page.context.clear_cookies()
    newer = client.refresh_token(token)
    assert client.userinfo(newer)["sub"] == token.id_token.subject
    assert newer.refresh_token != token.refresh_token
    assert client.introspect_token(newer)["active"] is True


def test_revoked_tokens_are_inactive_at_once(client, session_here, ask, allow):
    token = client.authorization_code(ask(allow))
    assert client.revoke_access_token(token)
    assert client.introspect_token(token) == {"active": False}
    newer = client.refresh_token(token)
    assert client.revoke_refresh_token(newer)
    with pytest.raises(InvalidGrant):
        client.refresh_token(newer)
    assert client.introspect_token(newer) == {"active": False}


def test_denied_consent_raises_access_denied(client, session_here, ask, page):
    with pytest.raises(AuthorizationResponseError) as refusal:
        ask(page.get_by_role("button", name="Don't allow").click)
    assert refusal.value.error == "access_denied"


def test_dpop_bound_token_is_rejected_as_bearer(client, session_here, ask, allow, ada):
    token = client.authorization_code(ask(allow, dpop=True), validate=False)  # it can't validate this with a key
    assert token.token_type == "DPoP"
    newer = client.refresh_token(token)
    assert client.userinfo(newer)["email"] == ada.email
    stolen = {"Authorization": f"Bearer {newer.access_token}"}
    assert requests.get(client.userinfo_endpoint, headers=stolen, timeout=10).status_code == 401
