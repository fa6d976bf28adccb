"""A passkey is offered on the first page after signing in, until there is one, or "not now"."""

from __future__ import annotations

import re

import pytest

from tests.signed_in import sign_in

pytestmark = pytest.mark.one_database
OFFER = "data-passkey-offer"


@pytest.fixture
def hers(browser_wire, ada):
    """Ada's browser, signed in just now."""
    return sign_in(browser_wire, ada)


def test_who_has_just_come_in_without_one_is_offered_one(hers):
    page = hers.get("/")
    assert OFFER in page.text
    assert "Sign in faster next time" in page.text


def test_who_has_one_is_not(browser_wire, ada, device, add_passkey):
    add_passkey(ada, device)
    assert OFFER not in sign_in(browser_wire, ada).get("/").text


def test_who_came_in_long_ago_is_not(hers, clock):
    clock.shift(301)
    assert OFFER not in hers.get("/").text


@pytest.mark.settings(passkeys=False)
def test_where_passkeys_are_off_nobody_is(hers):
    assert OFFER not in hers.get("/").text


def test_not_now_is_remembered_by_this_browser_for_this_account(hers, ada, people):
    assert hers.post("/passkey-offer/not-now").location == "/"
    assert OFFER not in hers.get("/").text
    assert OFFER in sign_in(hers.elsewhere(), ada).get("/").text
    assert OFFER in sign_in(hers, people.open(email="bob@example.com")).get("/").text


def test_not_now_is_said_in_json_too_and_by_nobody_else(json_wire, ada):
    assert json_wire.post("/passkey-offer/not-now").status == 401
    assert sign_in(json_wire, ada).post("/passkey-offer/not-now").ok
    assert json_wire.post("/passkey-offer/not-now", csrf="x").status == 400


def test_the_offer_costs_no_statement(hers, statements):
    with statements() as with_offer:
        hers.get("/")
    hers.post("/passkey-offer/not-now")
    with statements() as without:
        hers.get("/")
    assert len(with_offer) == len(without)


MISSING, DONE = "No passkey yet", "You have a passkey"


def test_a_passkey_is_recommended_until_there_is_one(hers):
    page = hers.get("/")
    assert MISSING in page.text
    assert "/us-setup" in page.page.links


def test_one_that_is_there_is_marked_as_done(browser_wire, ada, device, add_passkey):
    add_passkey(ada, device)
    text = sign_in(browser_wire, ada).get("/").text
    assert MISSING not in text
    assert re.search(rf"<h3>{DONE} <span class=\"badge\">Good</span>", text)


def test_it_stays_recommended_when_the_offer_is_over(hers, clock):
    clock.shift(301)
    assert MISSING in hers.get("/").text


def test_not_now_takes_it_off_the_list_too(hers, ada):
    assert [form["action"] for form in hers.get("/").page.forms].count("/passkey-offer/not-now") == 2
    hers.post("/passkey-offer/not-now")
    assert MISSING not in hers.get("/").text
    assert MISSING in sign_in(hers.elsewhere(), ada).get("/").text


@pytest.mark.settings(passkeys=False)
def test_none_is_recommended_where_passkeys_are_off(hers):
    text = hers.get("/").text
    assert MISSING not in text
    assert DONE not in text
