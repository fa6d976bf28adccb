"""What pages show of passkeys, and what stays away where there are none to be had."""

from __future__ import annotations

import pytest

from tests.signed_in import sign_in

pytestmark = pytest.mark.one_database


def test_the_sign_in_page_asks_for_passkeys_in_its_box_and_by_a_button(browser_wire):
    page = browser_wire.get("/us-signin").page
    assert page.attributes("identity")["autocomplete"] == "username webauthn"
    (box,) = page.boxes
    assert (box["data-passkey"], box["data-passkey-path"], "hidden" in box) == ("get", "/wan-signin", True)
    assert "data-passkey-autofill" in box


@pytest.mark.settings(passkeys=False)
def test_where_they_are_off_no_page_speaks_of_them(browser_wire, ada):
    page = browser_wire.get("/us-signin").page
    assert page.attributes("identity")["autocomplete"] == "username"
    assert page.boxes == []
    assert "passkeys.js" not in browser_wire.get("/us-signin").text
    assert "Passkeys" not in sign_in(browser_wire, ada).get("/us-setup").text


def test_where_one_was_going_goes_along(browser_wire):
    page = browser_wire.get("/us-signin?next=/sessions").page
    assert [attributes["value"] for name, attributes in page.inputs if name == "next"] == ["/sessions", "/sessions"]


def test_the_page_looks_at_the_box_from_the_start_alone(browser_wire, ada):
    """At the code entry nothing is offered: somebody has chosen another way."""
    answer = browser_wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    assert answer.page.boxes == []


def test_the_ways_to_sign_in_list_passkeys(browser_wire, ada, device, add_passkey):
    add_passkey(ada, device, name="My phone")
    page = sign_in(browser_wire, ada, via="webauthn,uv").get("/us-setup")
    assert "My phone" in page.text
    assert "This is your only sign-in method" not in page.text


def test_the_ways_to_sign_in_lead_to_the_page_of_passkeys(browser_wire, ada):
    browser = sign_in(browser_wire, ada)
    assert "/wan-register" in browser.get("/us-setup").page.links
    assert "/wan-register" not in browser.get("/wan-register").page.links


def test_a_name_is_text_and_no_markup(browser_wire, ada, device, add_passkey):
    add_passkey(ada, device, name="\"&amp; ' {{ 7*7 }}")
    page = sign_in(browser_wire, ada, via="webauthn,uv").get("/wan-register")
    assert "&#34;&amp;amp; &#39; {{ 7*7 }}" in page.text


def test_what_the_browser_sent_is_not_shown_again(browser_wire):
    page = browser_wire.post("/wan-signin/x", credential='{"id": "secret"}')
    assert page.status == 400
    assert "secret" not in page.text


def test_a_passkey_that_is_no_more_is_named_to_the_browser(browser_wire, device):
    from tests.authenticators import encoded
    from tests.functional.passkeys.conftest import asked

    options, state = asked(browser_wire.post("/wan-signin"))
    made = device.make({"user": {"id": "AAAA"}, "rp": {"id": "localhost"}, "challenge": "x"})
    assert made
    answer = browser_wire.post(f"/wan-signin/{state}", credential=device.sign(options))
    assert f'data-passkey-unknown="{encoded(device.keys[0].id)}"' in answer.text
