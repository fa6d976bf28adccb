"""PyPI requests-oauth2client, a program that a person lets act for them: PKCE, ``iss``, refresh, revocation."""

from __future__ import annotations

import pytest
from requests_oauth2client import AuthorizationResponseError, InvalidGrant, OAuth2Client

pytestmark = pytest.mark.one_database

SCOPE = "openid email offline_access"


@pytest.fixture
def client(issuer, register, landing):
    """The program, registered as an app whose people are asked; ``testing`` lets it speak plain http."""
    party = register(name="Backup", redirect_uris=[f"{landing.url}/callback"], consent="ask")
    return OAuth2Client.from_discovery_endpoint(
        issuer=issuer,
        client_id=party.id,
        client_secret=party.secret,
        redirect_uri=party.redirect_uri,
        testing=True,
    )


def begin(client, page, *, pushed=False):
    """Lead the browser to us; return the request."""
    request = client.authorization_request(scope=SCOPE, authorization_response_iss_parameter_supported=True)
    page.goto(client.pushed_authorization_request(request).uri if pushed else request.uri)
    return request


def finish(request, page, landing):
    """Return the answer that the browser has come back with, validated: state, and who it is from."""
    page.wait_for_url(f"{landing.url}/callback?**")
    return request.validate_callback(page.url)


@pytest.fixture(params=[False, True], ids=["sent", "pushed"])
def token(request, client, page, landing, enter_code):
    """What the program got when Ada let it in; its ID token is validated."""
    asked = begin(client, page, pushed=request.param)
    enter_code()
    page.get_by_role("button", name="Allow", exact=True).click()
    return client.authorization_code(finish(asked, page, landing))


def test_a_person_allows_it_and_it_goes_on_after_they_have_left(client, token, ada, page, issuer):
    assert client.userinfo(token)["email"] == ada.email
    page.context.clear_cookies()
    newer = client.refresh_token(token)
    assert client.userinfo(newer)["sub"] == token.id_token.subject
    assert newer.refresh_token != token.refresh_token
    assert client.introspect_token(newer)["active"] is True


def test_what_it_revokes_is_dead_at_once(client, token):
    assert client.revoke_access_token(token)
    assert client.introspect_token(token) == {"active": False}
    newer = client.refresh_token(token)
    assert client.revoke_refresh_token(newer)
    with pytest.raises(InvalidGrant):
        client.refresh_token(newer)
    assert client.introspect_token(newer) == {"active": False}


def test_a_person_who_refuses_is_an_error_that_it_understands(client, page, landing, enter_code):
    request = begin(client, page)
    enter_code()
    page.get_by_role("button", name="Don't allow").click()
    with pytest.raises(AuthorizationResponseError) as refusal:
        finish(request, page, landing)
    assert refusal.value.error == "access_denied"
