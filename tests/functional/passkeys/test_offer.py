"""The first page after signing in offers a passkey, until there is one, or "not now"."""

from __future__ import annotations

import re

import pytest

from tests.signed_in import sign_in

pytestmark = pytest.mark.one_database
OFFER = "data-passkey-offer"


@pytest.fixture
def hers(browser_wire, ada):
    """Ada's browser, just signed in."""
    return sign_in(browser_wire, ada)


def test_passkey_is_offered_after_sign_in_without_one(hers):
    page = hers.get("/")
    assert OFFER in page.text
    assert "Sign in faster next time" in page.text


def test_passkey_is_not_offered_to_a_user_who_has_one(browser_wire, ada, device, add_passkey):
    add_passkey(ada, device)
    assert OFFER not in sign_in(browser_wire, ada).get("/").text


def test_passkey_is_not_offered_when_the_sign_in_is_not_recent(hers, clock):
    clock.shift(301)
    assert OFFER not in hers.get("/").text


@pytest.mark.settings(passkeys=False)
def test_passkey_is_not_offered_when_passkeys_are_disabled(hers):
    assert OFFER not in hers.get("/").text


def test_dismissal_is_remembered_per_browser_and_account(hers, ada, people):
    assert hers.post("/passkey-offer/not-now").location == "/"
    assert OFFER not in hers.get("/").text
    assert OFFER in sign_in(hers.elsewhere(), ada).get("/").text
    assert OFFER in sign_in(hers, people.open(email="bob@example.com")).get("/").text


def test_json_dismissal_requires_a_session_and_csrf_token(json_wire, ada):
    assert json_wire.post("/passkey-offer/not-now").status == 401
    assert sign_in(json_wire, ada).post("/passkey-offer/not-now").ok
    assert json_wire.post("/passkey-offer/not-now", csrf="x").status == 400


def test_offer_takes_no_extra_statement(hers, statements):
    with statements() as with_offer:
        hers.get("/")
    hers.post("/passkey-offer/not-now")
    with statements() as without:
        hers.get("/")
    assert len(with_offer) == len(without)


MISSING, DONE = "No passkey yet", "You have a passkey"


def test_passkey_is_recommended_to_a_user_without_one(hers):
    page = hers.get("/")
    assert MISSING in page.text
    assert "/us-setup" in page.page.links


def test_existing_passkey_is_marked_as_good(browser_wire, ada, device, add_passkey):
    add_passkey(ada, device)
    text = sign_in(browser_wire, ada).get("/").text
    assert MISSING not in text
    assert re.search(rf"<h3>{DONE} <span class=\"badge\">Good</span>", text)


def test_recommendation_stays_after_the_offer_ends(hers, clock):
    clock.shift(301)
    assert MISSING in hers.get("/").text


def test_dismissal_also_hides_the_recommendation_in_this_browser(hers, ada):
    assert [form["action"] for form in hers.get("/").page.forms].count("/passkey-offer/not-now") == 2
    hers.post("/passkey-offer/not-now")
    assert MISSING not in hers.get("/").text
    assert MISSING in sign_in(hers.elsewhere(), ada).get("/").text


@pytest.mark.settings(passkeys=False)
def test_passkey_is_not_recommended_when_passkeys_are_disabled(hers):
    text = hers.get("/").text
    assert MISSING not in text
    assert DONE not in text
