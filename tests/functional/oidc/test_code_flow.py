"""An app gets a code, exchanges it for tokens, and asks who signed in."""

from __future__ import annotations

import pytest

from tests.oidc import ISSUER, register
from tests.signed_in import sign_in
from tests.wire import Wire


def test_userinfo_has_the_users_display_name(grafana, browser):
    assert browser.post("/identities/name", name="Ada Lovelace").ok
    who = grafana.userinfo(grafana.tokens(browser, scope="openid profile")["access_token"]).json
    assert (who["name"], who["preferred_username"]) == ("Ada Lovelace", "ada")


def test_signed_in_user_completes_the_code_flow_without_interaction(grafana, browser, ada):
    tokens = grafana.tokens(browser, scope="openid profile email groups")
    assert (tokens["token_type"], tokens["scope"]) == ("Bearer", "openid profile email groups")
    claims = grafana.claims(tokens["id_token"])
    assert (claims["iss"], claims["aud"], claims["nonce"]) == (ISSUER, "grafana", grafana.nonce)
    assert (claims["acr"], claims["amr"]) == ("aal1", ["otp"])
    who = grafana.userinfo(tokens["access_token"])
    assert who.status_code == 200
    assert who.json == {
        "sub": claims["sub"], "name": "ada", "preferred_username": "ada", "locale": "en", "email": "ada@example.com",
        "email_verified": True, "groups": [],
    }  # fmt: skip


def test_userinfo_of_phone_only_user_has_no_email_claims(app, grafana, people):
    hers = sign_in(Wire(app, "form"), people.open(phone="+447400123456", methods=["sms"]))
    tokens = grafana.tokens(hers, scope="openid profile email phone")
    who = grafana.userinfo(tokens["access_token"]).json
    assert who == {
        "sub": who["sub"], "locale": "en", "phone_number": "+447400123456", "phone_number_verified": True,
    }  # fmt: skip


def test_signed_out_user_signs_in_and_returns_to_the_client_once(app, grafana, ada, wire_form, deliver):
    sent_to = wire_form.client.get(grafana.request(login_hint="ada@example.com"))
    assert sent_to.status_code == 302
    assert sent_to.headers["Location"].startswith("/us-signin?next=%2Foauth%2Fcontinue%3Frequest%3D")
    sign_in(wire_form, ada)
    back = wire_form.client.get(next_of(sent_to))
    answer = grafana.answer(back)
    assert answer["state"] == grafana.state
    assert grafana.exchange(answer["code"]).status_code == 200
    again = wire_form.client.get(next_of(sent_to))
    assert again.status_code == 400
    assert "Location" not in again.headers


@pytest.mark.both_databases
def test_code_reuse_is_rejected_and_revokes_its_tokens(grafana, browser):
    code = grafana.code(browser)
    tokens = grafana.exchange(code).json
    second = grafana.exchange(code)
    assert (second.status_code, second.json["error"]) == (400, "invalid_grant")
    assert grafana.userinfo(tokens["access_token"]).status_code == 401
    assert grafana.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"


def test_code_expires_after_one_minute(grafana, browser, clock):
    code = grafana.code(browser)
    clock.shift(61)
    assert grafana.exchange(code).json["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "wrong",
    [{"code_verifier": "x" * 43}, {"code_verifier": None}, {"redirect_uri": "https://app.example.com/other"}],
    ids=["verifier", "no verifier", "redirect_uri"],
)
def test_code_exchange_requires_matching_verifier_and_redirect_uri(grafana, browser, wrong):
    code = grafana.code(browser)
    assert grafana.exchange(code, **wrong).json["error"] == "invalid_grant"


def test_code_cannot_be_exchanged_by_another_client(app, grafana, browser):
    other = register(app, "gitea")
    code = grafana.code(browser)
    other.verifier = grafana.verifier
    assert other.exchange(code).json["error"] == "invalid_grant"
    assert grafana.exchange(code).status_code == 200


def test_code_verifier_without_code_challenge_is_rejected(app, browser):
    lax = register(app, "nextcloud", pkce="optional")
    code = lax.code(browser, code_challenge=None, code_challenge_method=None)
    assert lax.exchange(code).json["error"] == "invalid_grant"
    assert lax.exchange(code, code_verifier=None).status_code == 200


@pytest.mark.both_databases
def test_logout_revokes_access_and_refresh_tokens(grafana, browser):
    tokens = grafana.tokens(browser)
    browser.post("/logout")
    assert grafana.userinfo(tokens["access_token"]).status_code == 401
    assert grafana.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"


def test_offline_access_tokens_survive_logout(grafana, browser):
    tokens = grafana.tokens(browser, scope="openid offline_access")
    browser.post("/logout")
    assert grafana.userinfo(tokens["access_token"]).status_code == 200
    assert grafana.refresh(tokens["refresh_token"]).status_code == 200


@pytest.mark.both_databases
def test_disabling_an_account_revokes_its_tokens_and_codes(app, grafana, browser, ada):
    tokens = grafana.tokens(browser, scope="openid offline_access")
    code = grafana.code(browser)
    with app.app_context():
        from app import clock
        from app.extensions import db
        from app.users import User

        db.session.get(User, ada.id).disabled_at = clock.now()
        db.session.commit()
    assert grafana.userinfo(tokens["access_token"]).status_code == 401
    assert grafana.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"
    assert grafana.exchange(code).json["error"] == "invalid_grant"


def next_of(answer) -> str:
    """Return where the sign-in page leads to afterwards."""
    from urllib.parse import parse_qs, urlsplit

    return parse_qs(urlsplit(answer.headers["Location"]).query)["next"][0]


@pytest.fixture
def wire_form(app) -> Wire:
    """A browser of a stranger."""
    return Wire(app, "form")
