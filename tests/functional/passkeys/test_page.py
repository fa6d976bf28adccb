"""What pages show of passkeys, and what they hide if passkeys can't be used."""

from __future__ import annotations

import pytest

from tests.signed_in import sign_in

pytestmark = pytest.mark.one_database


def test_sign_in_page_offers_passkey_autofill_and_button(browser_wire):
    page = browser_wire.get("/us-signin").page
    assert page.attributes("identity")["autocomplete"] == "username webauthn"
    (box,) = page.boxes
    assert (box["data-passkey"], box["data-passkey-path"], "hidden" in box) == ("get", "/wan-signin", True)
    assert "data-passkey-autofill" in box


@pytest.mark.settings(passkeys=False)
def test_pages_do_not_mention_passkeys_when_disabled(browser_wire, ada):
    page = browser_wire.get("/us-signin").page
    assert page.attributes("identity")["autocomplete"] == "username"
    assert page.boxes == []
    assert "passkeys.js" not in browser_wire.get("/us-signin").text
    assert "Passkeys" not in sign_in(browser_wire, ada).get("/us-setup").text


def test_sign_in_page_passes_next_to_the_passkey_form(browser_wire):
    page = browser_wire.get("/us-signin?next=/sessions").page
    assert [attributes["value"] for name, attributes in page.inputs if name == "next"] == ["/sessions", "/sessions"]


def test_code_page_offers_no_passkeys(browser_wire, ada):
    """People who enter a code have chosen another method."""
    answer = browser_wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    assert answer.page.boxes == []


def test_setup_page_lists_passkeys(browser_wire, ada, device, add_passkey):
    add_passkey(ada, device, name="My phone")
    page = sign_in(browser_wire, ada, via="webauthn,uv").get("/us-setup")
    assert "My phone" in page.text
    assert "This is your only sign-in method" not in page.text


def test_setup_page_links_to_the_passkey_page(browser_wire, ada):
    browser = sign_in(browser_wire, ada)
    assert "/wan-register" in browser.get("/us-setup").page.links
    assert "/wan-register" not in browser.get("/wan-register").page.links


def test_passkey_name_is_html_escaped(browser_wire, ada, device, add_passkey):
    add_passkey(ada, device, name="\"&amp; ' {{ 7*7 }}")
    page = sign_in(browser_wire, ada, via="webauthn,uv").get("/wan-register")
    assert "&#34;&amp;amp; &#39; {{ 7*7 }}" in page.text


def test_submitted_credential_is_not_echoed(browser_wire):
    page = browser_wire.post("/wan-signin/x", credential='{"id": "secret"}')
    assert page.status == 400
    assert "secret" not in page.text


def test_unknown_credential_id_is_signaled_to_the_browser(browser_wire, device):
    from tests.authenticators import encoded
    from tests.functional.passkeys.conftest import asked

    options, state = asked(browser_wire.post("/wan-signin"))
    made = device.make({"user": {"id": "AAAA"}, "rp": {"id": "localhost"}, "challenge": "x"})
    assert made
    answer = browser_wire.post(f"/wan-signin/{state}", credential=device.sign(options))
    assert f'data-passkey-unknown="{encoded(device.keys[0].id)}"' in answer.text
