"""RP-Initiated Logout OP: one test for each module of the suite's plan, by the module's name.

Each signs in first, as in Basic OP, and sends the browser to the end session endpoint.
"""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.conformance.browser import Arrived
from tests.conformance.conftest import BASE
from tests.conformance.suite import IN_USER_INTERFACE, unsigned
from tests.oidc import ISSUER

pytestmark = pytest.mark.one_database

BACK = f"{BASE}/post_logout_redirect"
STATE = "Aa0-_.~!" * 16


@pytest.fixture
def signed_in(suite):
    """What the suite has after signing in."""
    return suite.sign_in()


def test_oidcc_rp_initiated_logout_discovery_endpoint_verification(suite):
    """Section 2.1: the metadata have ``end_session_endpoint``, an address of the issuer that answers."""
    assert suite.metadata["end_session_endpoint"].startswith(f"{ISSUER}/")
    assert suite.rp.http.get(suite.path("end_session_endpoint")).status_code == 200


def test_oidcc_rp_initiated_logout(suite, signed_in):
    """Section 2 and 3: with a hint the person is signed out, and comes back with the state whole and nothing else."""
    seen = len(suite.browser.pages)
    arrived = sign_out(suite, signed_in)
    assert parameters_of(arrived) == {"state": [STATE]}
    assert len(suite.browser.pages) == seen, "nobody is asked whom the hint is about"
    check_signed_out(suite)


def test_oidcc_rp_initiated_logout_no_state(suite, signed_in):
    """Section 2: without a state none comes back."""
    arrived = sign_out(suite, signed_in, state=None)
    assert arrived.url == BACK
    check_signed_out(suite)


def test_oidcc_rp_initiated_logout_bad_post_logout_redirect_uri(suite, signed_in):
    """Section 3: an address that isn't registered is not led to; a page says so."""
    arrived = sign_out(suite, signed_in, post_logout_redirect_uri=f"{BASE}/not-registered")
    assert (arrived.is_page, arrived.status) == (True, 400)


def test_oidcc_rp_initiated_logout_query_added_to_post_logout_redirect_uri(suite, signed_in):
    """Section 3: compared to the letter, so an address with a query added is another one."""
    arrived = sign_out(suite, signed_in, post_logout_redirect_uri=f"{BACK}?foo=bar")
    assert (arrived.is_page, arrived.status) == (True, 400)


def test_oidcc_rp_initiated_logout_modified_id_token_hint(suite, signed_in):
    """Section 4: a hint without a signature is none."""
    arrived = sign_out(suite, signed_in, id_token_hint=unsigned(signed_in.claims))
    assert (arrived.is_page, arrived.status) == (True, 400)
    assert suite.is_signed_in()


def test_oidcc_rp_initiated_logout_bad_id_token_hint(suite, signed_in):
    """Section 4: a hint that someone else has signed is none, whatever ``kid`` it names."""
    header = {"alg": "RS256", "kid": signed_in.header["kid"], "typ": "JWT"}
    forged = jwt.encode(header, signed_in.claims, RSAKey.generate_key(2048))
    arrived = sign_out(suite, signed_in, id_token_hint=forged)
    assert (arrived.is_page, arrived.status) == (True, 400)
    assert suite.is_signed_in()


def test_oidcc_rp_initiated_logout_no_id_token_hint(suite, signed_in):
    """Section 2 and 3: without a hint nobody is sent anywhere unasked."""
    given = {"post_logout_redirect_uri": BACK, "state": STATE}
    arrived = suite.browser.look(suite.logout_request(**given))
    assert arrived.is_page
    named = suite.browser.look(suite.logout_request(**given, client_id=suite.rp.id))
    assert (named.is_page, named.status) == (True, 200)
    assert "Sign out" in named.page.heading
    assert suite.is_signed_in()


def test_oidcc_rp_initiated_logout_no_params(suite, signed_in):
    """Section 2: without parameters the person is asked, signed out, and told so here."""
    check_stays_here(suite)


def test_oidcc_rp_initiated_logout_only_state(suite, signed_in):
    """Section 2: the same with a state alone."""
    check_stays_here(suite, state=STATE)


def test_oidcc_rp_initiated_logout_no_post_logout_redirect_uri(suite, signed_in):
    """Section 2: with a hint and no address the person is signed out, and told so here."""
    arrived = suite.browser.open(suite.logout_request(id_token_hint=signed_in.tokens["id_token"], state=STATE))
    assert (arrived.status, arrived.page.heading) == (200, "You're signed out")
    check_signed_out(suite)


def test_expired_id_token_hint_is_accepted(suite, signed_in, clock):
    """Section 4: the hint is accepted when its time is over, as most are by then."""
    clock.shift(3600)
    assert parameters_of(sign_out(suite, signed_in)) == {"state": [STATE]}
    check_signed_out(suite)


def test_logout_request_by_post_is_accepted(suite, signed_in):
    """Section 2: the endpoint takes POST as well."""
    fields = {"id_token_hint": signed_in.tokens["id_token"], "post_logout_redirect_uri": BACK, "state": STATE}
    arrived = suite.browser.submit(suite.metadata["end_session_endpoint"], fields)
    assert parameters_of(arrived) == {"state": [STATE]}
    check_signed_out(suite)


def sign_out(suite, signed_in, **different: str | None) -> Arrived:
    """Send the browser to the end session endpoint as the suite does, or with one thing different."""
    usual = {"id_token_hint": signed_in.tokens["id_token"], "post_logout_redirect_uri": BACK, "state": STATE}
    return suite.browser.open(suite.logout_request(**(usual | different)))


def parameters_of(arrived: Arrived) -> dict[str, list[str]]:
    """Return what a browser brought back to the client."""
    assert not arrived.is_page, arrived.page.heading
    assert arrived.url.partition("?")[0] == BACK
    return parse_qs(urlsplit(arrived.url).query, keep_blank_values=True)


def check_stays_here(suite, **asked: str) -> None:
    """Check that a person without a hint is asked, and then signed out."""
    assert "Sign out" in suite.browser.look(suite.logout_request(**asked)).page.heading
    assert suite.is_signed_in()
    arrived = suite.browser.open(suite.logout_request(**asked))
    assert (arrived.status, arrived.page.heading) == (200, "You're signed out")
    check_signed_out(suite)


def check_signed_out(suite) -> None:
    """Check as the suite does: a silent request fails."""
    assert suite.error_of(suite.browser.open(suite.request(prompt="none"))) in IN_USER_INTERFACE
