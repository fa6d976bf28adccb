"""Basic OP: one test for each module of the suite's plan, by the module's name.

Each walks the whole way: the sign-in page, the email code, consent, the callback, the token and userinfo endpoints.
"""

from __future__ import annotations

import json
from html import unescape
from urllib.parse import parse_qs

import pytest

from tests.conformance.suite import IN_USER_INTERFACE, OF_SCOPES, Suite, unsigned, verifier

ONE = pytest.mark.one_database
BAD_REDIRECT = "https://suite.example.com/test/a/latchkey/not-registered"
LONG_STATE = "Aa0-_.~!" * 16


@ONE
def test_oidcc_server(suite):
    """Core, section 3.1: the code flow, and an ID token that is valid by section 3.1.3.7."""
    signed_in = suite.sign_in()
    assert suite.browser.proofs == 1
    assert suite.browser.pages[-1] == "Allow Conformance suite?"
    assert signed_in.userinfo.keys() == {"sub"}


@ONE
def test_oidcc_response_type_missing(suite):
    """RFC 6749, section 3.1.1: without response_type there is an error, and no code."""
    error = suite.error_of(suite.browser.open(suite.request(response_type=None)))
    assert error in {"invalid_request", "unsupported_response_type"}


@ONE
def test_oidcc_idtoken_signature(suite):
    """Core, section 2 and 10.1: signed by RS256 where nothing else was registered, its key named by ``kid``."""
    header = suite.sign_in().header
    assert header["alg"] == "RS256"
    assert header["kid"] in {key["kid"] for key in suite.jwks["keys"]}


@ONE
def test_oidcc_idtoken_unsigned(suite):
    """Core, section 3.1.3.7: ``none`` needn't be offered; what isn't can't be registered."""
    assert "none" not in suite.metadata["id_token_signing_alg_values_supported"]


@ONE
def test_oidcc_userinfo_get(suite):
    """Core, section 5.3.1: by GET with the token in the header."""
    signed_in = suite.sign_in(scope="openid email")
    assert signed_in.userinfo == {"sub": signed_in.claims["sub"], "email": "ada@example.com", "email_verified": True}


@ONE
def test_oidcc_userinfo_post_header(suite):
    """Core, section 5.3.1: by POST with the token in the header (RFC 6750, section 2.1)."""
    signed_in = suite.sign_in()
    headers = {"Authorization": f"Bearer {signed_in.tokens['access_token']}"}
    claims = suite.userinfo_of(suite.rp.http.post(suite.path("userinfo_endpoint"), headers=headers))
    assert claims == signed_in.userinfo


@ONE
def test_oidcc_userinfo_post_body(suite):
    """RFC 6750, section 2.2: by POST with the token as a form's parameter."""
    signed_in = suite.sign_in()
    fields = {"access_token": signed_in.tokens["access_token"]}
    claims = suite.userinfo_of(suite.rp.http.post(suite.path("userinfo_endpoint"), data=fields))
    assert claims == signed_in.userinfo


@ONE
def test_oidcc_ensure_request_without_nonce_succeeds_for_code_flow(suite):
    """Core, section 3.1.2.1: ``nonce`` is optional in the code flow, and none comes back."""
    assert "nonce" not in suite.sign_in(nonce=None).claims


@ONE
@pytest.mark.parametrize(
    ("scope", "claims"),
    [
        ("profile", {"name": "ada", "preferred_username": "ada", "locale": "en"}),
        ("email", {"email": "ada@example.com", "email_verified": True}),
        ("phone", {"phone_number": "+4915112345678", "phone_number_verified": True}),
    ],
    ids=["profile", "email", "phone"],
)
def test_oidcc_scope(suite, scope, claims):
    """Core, section 5.4: the claims of a scope are at the userinfo endpoint, and not in the ID token (5.3.2)."""
    signed_in = suite.sign_in(scope=f"openid {scope}")
    assert signed_in.userinfo == {"sub": signed_in.claims["sub"]} | claims


@ONE
def test_oidcc_scope_address(suite):
    """Core, section 3.1.2.1: a scope that isn't known is ignored, and isn't said to be supported."""
    assert "address" not in suite.metadata["scopes_supported"]
    signed_in = suite.sign_in(scope="openid address")
    assert (signed_in.tokens["scope"], signed_in.userinfo.keys()) == ("openid", {"sub"})


@ONE
def test_oidcc_scope_all(suite):
    """Core, section 5.4: all scopes at once give the claims of each."""
    signed_in = suite.sign_in(scope="openid address email phone profile")
    expected = {"sub", "phone_number_verified", *OF_SCOPES} - {"groups"}
    assert signed_in.userinfo.keys() == expected


@ONE
def test_oidcc_ensure_other_scope_order_succeeds(suite):
    """Core, section 3.1.2.1: ``openid`` may stand anywhere in ``scope``."""
    assert "email" in suite.sign_in(scope="email openid").userinfo


@ONE
@pytest.mark.parametrize("display", ["page", "popup"])
def test_oidcc_display(suite, display):
    """Core, section 3.1.2.1 and 15.1: ``display`` mustn't lead to an error."""
    assert suite.sign_in(display=display)


def test_oidcc_prompt_login(suite, clock):
    """Core, section 3.1.2.1: ``prompt=login`` asks someone again who is signed in; auth_time is that of the second."""
    first = suite.sign_in()
    clock.shift(5)
    second = suite.sign_in(prompt="login")
    assert suite.browser.proofs == 2
    assert second.claims["auth_time"] > first.claims["auth_time"]
    assert second.claims["sub"] == first.claims["sub"]


@ONE
def test_oidcc_prompt_none_not_logged_in(suite):
    """Core, section 3.1.2.6: without a page nobody can sign in; the state comes back whole."""
    arrived = suite.browser.open(suite.request(prompt="none", state=LONG_STATE))
    suite.rp.state = LONG_STATE
    assert suite.error_of(arrived) in IN_USER_INTERFACE
    assert suite.browser.pages == []


@ONE
def test_oidcc_prompt_none_logged_in(suite, clock):
    """Core, section 3.1.2.1: ``prompt=none`` answers at once for who is signed in, with the same sub and auth_time."""
    check_same(suite, clock, prompt="none")


@ONE
def test_oidcc_max_age_1(suite, clock):
    """Core, section 3.1.2.1: who signed in longer ago than ``max_age`` is asked again; auth_time says so."""
    first = suite.sign_in()
    clock.shift(2)
    second = suite.sign_in(max_age=1)
    assert suite.browser.proofs == 2
    assert second.claims["auth_time"] > first.claims["auth_time"]
    assert clock.unix() - second.claims["auth_time"] < 5


@ONE
def test_oidcc_max_age_10000(suite, clock):
    """Core, section 3.1.2.1: within ``max_age`` nobody is asked, and auth_time says the same both times."""
    check_same(suite, clock, first={"max_age": 15000}, max_age=10000)


@ONE
def test_oidcc_ensure_request_with_unknown_parameter_succeeds(suite):
    """RFC 6749, section 3.1: an unknown parameter is ignored."""
    assert suite.sign_in(extra="foobar")


@ONE
def test_oidcc_id_token_hint(suite, clock):
    """Core, section 3.1.2.1 and 3.1.2.2: an ID token of this person as a hint, with ``prompt=none``."""
    hint = suite.sign_in().tokens["id_token"]
    check_same(suite, clock, prompt="none", id_token_hint=hint)


@ONE
def test_oidcc_login_hint(suite):
    """Core, section 3.1.2.1: the sign-in page begins with who is hinted at."""
    shown = suite.browser.look(suite.request(login_hint="ada@example.com"))
    assert shown.page.value("identity") == "ada@example.com"
    assert suite.sign_in(login_hint="buffy@localhost")


@ONE
def test_oidcc_ui_locales(suite):
    """Core, section 3.1.2.1: pages are in the first language of ``ui_locales`` that there is; others are no error."""
    shown = suite.browser.look(suite.request(ui_locales="se de-CH en"))
    assert '<html lang="de"' in shown.html
    assert suite.sign_in(ui_locales="se")


@ONE
def test_oidcc_claims_locales(suite):
    """Core, section 5.2: ``claims_locales`` mustn't lead to an error."""
    assert suite.sign_in(claims_locales="se")


@ONE
def test_oidcc_ensure_request_with_acr_values_succeeds(suite):
    """Core, section 3.1.2.1: with all values that the provider names, one of them is in the ID token."""
    values = suite.metadata["acr_values_supported"]
    assert suite.sign_in(acr_values=" ".join(values)).claims["acr"] in values
    assert suite.sign_in(acr_values="1 2").claims["acr"] in values


def test_oidcc_codereuse(suite):
    """RFC 6749, section 4.1.2 and 5.2: a code that was used before is an invalid grant, by 400 and JSON."""
    signed_in = suite.sign_in()
    assert suite.token_error_of(suite.exchange(signed_in.code)) == "invalid_grant"


def test_oidcc_codereuse_30seconds(suite, clock):
    """RFC 6749, section 4.1.2: the same half a minute later, and the access token of the first use is revoked."""
    signed_in = suite.sign_in()
    clock.shift(30)
    assert suite.token_error_of(suite.exchange(signed_in.code)) == "invalid_grant"
    assert suite.rp.userinfo(signed_in.tokens["access_token"]).status_code == 401


@ONE
def test_oidcc_ensure_registered_redirect_uri(suite):
    """Core, section 3.1.2.1: an address that isn't registered gets a page that says so, and nobody is sent there."""
    arrived = suite.browser.open(suite.request(redirect_uri=BAD_REDIRECT))
    assert (arrived.is_page, arrived.status) == (True, 400)
    assert BAD_REDIRECT not in arrived.html
    assert "an address we don't know" in unescape(arrived.html)
    assert (
        "address" in " ".join(text for texts in arrived.page.errors.values() for text in texts) or arrived.page.heading
    )


@ONE
def test_oidcc_ensure_post_request_succeeds(suite):
    """Core, section 3.1.2.1: the authorization endpoint takes POST as well."""
    address, _, query = suite.request().partition("?")
    fields = {name: values[0] for name, values in parse_qs(query).items()}
    assert suite.complete(suite.browser.submit(address, fields))


@ONE
def test_oidcc_server_client_secret_post(suite):
    """Core, section 9: the secret in the body authenticates the client as that in the header does."""
    assert suite.sign_in(method="client_secret_post")


@ONE
def test_oidcc_request_uri_unsigned_supported_correctly_or_rejected_as_unsupported(suite):
    """Core, section 6.2 and 3.1.2.6: a request by reference is refused by its own error, as the metadata says."""
    asked = {"request_uri": "https://suite.example.com/request.jwt", "state": None, "nonce": None}
    answer = suite.answer_of(suite.browser.open(suite.request(**asked)))
    assert answer["error"] == "request_uri_not_supported"
    assert suite.metadata["request_uri_parameter_supported"] is False


@ONE
def test_oidcc_unsigned_request_object_supported_correctly_or_rejected_as_unsupported(suite):
    """Core, section 6.1 and 3.1.2.6: the same for a request by value."""
    request = unsigned({"client_id": suite.rp.id, "state": "abc", "nonce": "def", "response_type": "code"})
    answer = suite.answer_of(suite.browser.open(suite.request(request=request, state=None, nonce=None)))
    assert answer["error"] == "request_not_supported"
    assert suite.metadata["request_parameter_supported"] is False


@ONE
def test_oidcc_claims_essential(suite):
    """Core, section 5.5: a claim that is asked for by name comes where it was asked for, and only there."""
    signed_in = suite.sign_in(claims=json.dumps({"userinfo": {"name": {"essential": True}}}))
    assert signed_in.userinfo["name"] == "ada"
    assert "name" not in signed_in.claims


@ONE
def test_oidcc_ensure_request_object_with_redirect_uri(suite):
    """Core, section 6.1: with a wrong redirect URI beside a request object, there is a page and no redirect."""
    request = unsigned({"client_id": suite.rp.id, "redirect_uri": suite.rp.redirect_uri, "response_type": "code"})
    arrived = suite.browser.open(suite.request(request=request, redirect_uri=BAD_REDIRECT, state=None))
    assert (arrived.is_page, arrived.status) == (True, 400)


def test_oidcc_refresh_token(suite, client_of, clock):
    """Core, section 12; RFC 6749, section 6: new tokens, the same person, and nothing for another client."""
    first = suite.sign_in(scope="openid offline_access", prompt="consent")
    clock.shift(1)
    renewal = {"grant_type": "refresh_token", "refresh_token": first.tokens["refresh_token"]}
    second = suite.tokens_of(suite.ask_for_tokens(renewal | {"scope": "openid offline_access"}))
    claims = suite.read(second["id_token"])[1]
    assert {name: claims[name] for name in ("iss", "sub", "aud", "auth_time")} == {
        name: first.claims[name] for name in ("iss", "sub", "aud", "auth_time")
    }
    assert claims["iat"] > first.claims["iat"]
    assert claims.keys().isdisjoint({"azp", "nonce"})
    assert second["access_token"] != first.tokens["access_token"]
    assert suite.userinfo_of(suite.rp.userinfo(second["access_token"])) == first.userinfo
    other = Suite(client_of("second"), suite.browser)
    theirs = other.sign_in(scope="openid offline_access", prompt="consent").tokens["refresh_token"]
    stolen = suite.ask_for_tokens({"grant_type": "refresh_token", "refresh_token": theirs})
    assert suite.token_error_of(stolen) == "invalid_grant"
    assert other.ask_for_tokens({"grant_type": "refresh_token", "refresh_token": theirs}).status_code == 200


@ONE
def test_oidcc_ensure_request_with_valid_pkce_succeeds(suite):
    """RFC 7636, section 4: a challenge and its verifier."""
    chosen, challenge = verifier()
    arrived = suite.browser.open(suite.request(code_challenge=challenge, code_challenge_method="S256"))
    assert suite.complete(arrived, code_verifier=chosen)


def check_same(suite: Suite, clock, first: dict[str, object] | None = None, **asked: object) -> None:
    """Sign in twice, the second time with ``asked``: nobody is asked anything, and it is the same sign-in."""
    one = suite.sign_in(**(first or {}))
    seen = len(suite.browser.pages)
    clock.shift(5)
    two = suite.sign_in(**asked)
    assert len(suite.browser.pages) == seen
    assert (two.claims["auth_time"], two.claims["sub"]) == (one.claims["auth_time"], one.claims["sub"])
