"""Back-Channel Logout OP: the two modules of the suite's plan, one test for each thing that they check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.conformance.conftest import BASE
from tests.conformance.suite import IN_USER_INTERFACE, SignedIn, Suite
from tests.logout_sink import Posted

pytestmark = pytest.mark.one_database

BACK = f"{BASE}/post_logout_redirect"
EVENT = "http://schemas.openid.net/event/backchannel-logout"


@dataclass(frozen=True)
class Logout:
    """What the suite has seen when someone signed out at its client's wish.

    :ivar posted: the request to the back-channel endpoint
    :ivar landed: where the browser was sent
    """

    suite: Suite
    signed_in: SignedIn
    posted: Posted
    landed: str
    header: dict[str, Any]
    claims: dict[str, Any]


@pytest.fixture
def logout(client_of, person, endpoint, deliver) -> Logout:
    """A sign-in, and a logout that the client has asked for."""
    suite = Suite(client_of(backchannel_logout_uri=endpoint.url), person)
    signed_in = suite.sign_in()
    hint = {"id_token_hint": signed_in.tokens["id_token"], "post_logout_redirect_uri": BACK, "state": "a state"}
    landed = person.open(suite.logout_request(**hint)).url
    deliver()
    (posted,) = endpoint.posted
    header, claims = suite.read(posted.token)
    return Logout(suite, signed_in, posted, landed, header, claims)


def test_oidcc_backchannel_logout_discovery_endpoint_verification(suite):
    """Section 2.1: back-channel logout is said to be supported, with ``sid`` in tokens, and there is an endpoint."""
    assert suite.metadata["backchannel_logout_supported"] is True
    assert suite.metadata["backchannel_logout_session_supported"] is True
    assert suite.metadata["end_session_endpoint"]


def test_logout_token_is_posted_as_the_only_form_field(logout):
    """Section 2.5: POST, form-encoded, ``logout_token`` and nothing else."""
    assert logout.posted.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert logout.posted.body == f"logout_token={logout.posted.token}"


def test_logout_token_is_signed_like_id_tokens(logout):
    """Section 2.4 and 2.6: by a published key, with the algorithm of the client's ID tokens, never ``none``."""
    assert (logout.header["alg"], logout.header["kid"]) == ("RS256", logout.signed_in.header["kid"])


def test_logout_token_has_typ_logout_jwt(logout):
    """Section 2.4: typed, so that it passes for nothing else."""
    assert logout.header["typ"] == "logout+jwt"


def test_logout_token_has_iss_aud_iat_exp_and_jti(logout, clock):
    """Section 2.4: ``iss``, ``aud``, ``iat``, ``exp`` and ``jti``."""
    assert (logout.claims["iss"], logout.claims["aud"]) == (logout.suite.metadata["issuer"], logout.suite.rp.id)
    assert clock.unix() - 60 < logout.claims["iat"] <= clock.unix() < logout.claims["exp"]
    assert isinstance(logout.claims["jti"], str)


def test_logout_token_has_the_empty_back_channel_logout_event(logout):
    """Section 2.4: ``events`` has the member that makes it a logout token, an empty object."""
    assert logout.claims["events"] == {EVENT: {}}


def test_logout_token_has_the_sub_and_sid_of_the_id_token(logout):
    """Section 2.4: ``sub`` and ``sid``."""
    assert {name: logout.claims[name] for name in ("sub", "sid")} == {
        name: logout.signed_in.claims[name] for name in ("sub", "sid")
    }


def test_logout_token_has_no_nonce(logout):
    """Section 2.4: it mustn't be one, so that nobody takes it for an ID token."""
    assert "nonce" not in logout.claims


def test_browser_returns_to_post_logout_uri_with_state(logout):
    """RP-Initiated Logout, section 3: to the registered address, with the state alone."""
    assert logout.landed == f"{BACK}?state=a+state"


def test_oidcc_backchannel_rp_initiated_logout(logout):
    """The whole of it: after the logout a silent request fails."""
    answer = logout.suite.browser.open(logout.suite.request(prompt="none"))
    assert logout.suite.error_of(answer) in IN_USER_INTERFACE


def test_logout_token_is_resent_after_a_transient_failure(client_of, person, endpoint, deliver, clock):
    """Section 2.7: a logout token is sent again after a passing fault, another one for the same session."""
    suite = Suite(client_of(backchannel_logout_uri=endpoint.url), person)
    endpoint.answers = [503]
    suite.sign_in()
    person.open(suite.logout_request())
    deliver()
    clock.shift(600)
    deliver()
    first, second = (suite.read(posted.token)[1] for posted in endpoint.posted)
    assert (first["sid"], first["sub"]) == (second["sid"], second["sub"])
