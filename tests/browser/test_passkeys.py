"""Passkeys in a real browser with a virtual authenticator: created, used, offered, declined."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.code_entry import type_code
from tests.browser.keyboard import Keyboard
from tests.browser.passkeys import VirtualAuthenticator
from tests.browsing import serious_faults

ADD, USE = "Add a passkey", "Sign in with a passkey"

NO_OFFER = "PublicKeyCredential.isConditionalMediationAvailable = async () => false;"
"""A virtual authenticator accepts the autofill offer immediately, before a test could press the button."""


@pytest.fixture
def ada(people, email):
    """Someone who signs in by email."""
    return people.open(email=email)


@pytest.fixture
def hers(sign_in, ada):
    """Her browser, signed in."""
    return sign_in(ada)


def add(page: Any, button: str = ADD) -> None:
    """Add a passkey on the passkeys page. After the first one, the recovery codes page follows."""
    page.goto("/wan-register")
    with page.expect_navigation():
        page.get_by_role("button", name=button).click()
    page.get_by_text("Passkey added.").wait_for()
    if button == ADD:
        page.get_by_role("heading", name="Recovery codes", level=1).wait_for()


def back_to_passkeys(page: Any) -> None:
    """Skip the recovery codes and return to the passkeys."""
    page.get_by_role("link", name="Not now").click()
    page.get_by_role("heading", name="Sign-in methods", exact=True).wait_for()
    page.goto("/wan-register")
    page.get_by_role("heading", name="Passkeys", level=1).wait_for()


def sign_out(page: Any) -> None:
    """Sign out, and leave the sign-in page before its passkey offer, which the device would accept immediately."""
    page.goto("/")
    page.route("**/passkeys.js*", lambda route: route.fulfill(body="", content_type="text/javascript"))
    with page.expect_navigation():
        page.get_by_role("button", name="Sign out of this browser").click()
    page.unroute("**/passkeys.js*")


def who(page: Any, email: str) -> None:
    """Return whose account page this is."""
    page.get_by_role("heading", name="Your account").wait_for()
    assert page.get_by_text(email).count() > 0


def press(page: Any, name: str = USE) -> None:
    """Press the passkey button."""
    page.get_by_role("button", name=name, exact=True).click()


def test_passkey_is_created_and_signs_in_without_identifier(hers, ada):
    device = VirtualAuthenticator(hers)
    add(hers)
    assert len(device.credentials) == 1
    assert device.credentials[0]["isResidentCredential"] is True
    sign_out(hers)
    hers.add_init_script(NO_OFFER)
    hers.goto("/us-signin")
    press(hers)
    who(hers, ada.email)
    assert hers.get_by_text("Passkey").count() > 0


def test_identity_field_offers_the_passkey(hers, ada):
    """A virtual authenticator accepts the offer immediately, as if the user had selected it."""
    VirtualAuthenticator(hers)
    add(hers)
    sign_out(hers)
    hers.goto("/us-signin")
    who(hers, ada.email)


def test_identity_field_has_webauthn_autocomplete(page):
    page.goto("/us-signin")
    box = page.get_by_label("Email, phone or username")
    assert box.get_attribute("autocomplete") == "username webauthn"
    page.get_by_role("button", name=USE).wait_for()


def test_passkey_without_user_verification_shows_an_error(hers):
    device = VirtualAuthenticator(hers)
    add(hers)
    sign_out(hers)
    device.verify(False)
    hers.goto("/wan-signin")
    press(hers, "Use my passkey")
    hers.get_by_text("Try again.").wait_for()


def test_device_without_user_verification_cannot_create_a_passkey(hers):
    VirtualAuthenticator(hers, verified=False)
    hers.goto("/wan-register")
    press(hers, ADD)
    hers.get_by_text("Try again.").wait_for()


def test_device_with_a_passkey_cannot_add_a_second_one(hers):
    device = VirtualAuthenticator(hers)
    add(hers)
    back_to_passkeys(hers)
    press(hers, "Add another passkey")
    hers.get_by_text("This device already has a passkey for your account.").wait_for()
    assert len(device.credentials) == 1


def test_passkeys_of_several_devices_can_sign_in(hers, ada):
    for number, button in enumerate((ADD, "Add another passkey")):
        device = VirtualAuthenticator(hers, transport="usb" if number else "internal")
        add(hers, button)
        kept = device.credentials
        device.remove()
        assert len(kept) == 1
    second = VirtualAuthenticator(hers)
    second.give(kept[0])
    sign_out(hers)
    hers.goto("/wan-signin")
    press(hers, "Use my passkey")
    who(hers, ada.email)


def test_passkey_can_be_renamed_and_removed(hers):
    VirtualAuthenticator(hers)
    add(hers)
    back_to_passkeys(hers)
    hers.get_by_text("Change").first.click()
    hers.get_by_label("New name").fill("My laptop")
    hers.get_by_role("button", name="Save name").click()
    hers.get_by_role("heading", name="My laptop").wait_for()
    hers.get_by_text("Change").first.click()
    hers.get_by_role("button", name="Remove").click()
    hers.get_by_text("Passkey removed.").wait_for()
    hers.get_by_text("No passkeys yet.").wait_for()


def test_removed_passkey_shows_an_error_at_sign_in(hers):
    device = VirtualAuthenticator(hers)
    add(hers)
    kept = device.credentials
    back_to_passkeys(hers)
    hers.get_by_text("Change").first.click()
    hers.get_by_role("button", name="Remove").click()
    hers.get_by_text("Passkey removed.").wait_for()
    if not device.credentials:  # the Signal API may have removed it
        device.give(kept[0])
    sign_out(hers)
    hers.goto("/wan-signin")
    press(hers, "Use my passkey")
    hers.get_by_text("We don't recognize that passkey.").wait_for()
    assert serious_faults(hers) == []


def test_passkey_flow_works_by_keyboard(hers, ada):
    VirtualAuthenticator(hers)
    hers.goto("/wan-register")
    keyboard = Keyboard(hers)
    keyboard.to(ADD)
    with hers.expect_navigation():
        hers.keyboard.press("Enter")
    sign_out(hers)
    hers.add_init_script(NO_OFFER)
    hers.goto("/us-signin")
    keyboard.to(USE)
    hers.keyboard.press("Enter")
    who(hers, ada.email)


def test_code_sign_in_works_after_a_declined_passkey(hers, ada, mailbox):
    device = VirtualAuthenticator(hers)
    add(hers)
    sign_out(hers)
    device.verify(False)
    hers.add_init_script(NO_OFFER)
    hers.goto("/us-signin")
    press(hers)
    hers.get_by_text("Try again.").wait_for()
    hers.get_by_label("Email, phone or username").fill(ada.email)
    hers.get_by_role("button", name="Send me a code").click()
    type_code(hers, mailbox.newest(ada.email, "Sign in to").code)
    hers.get_by_role("button", name="Sign in", exact=True).click()
    who(hers, ada.email)


def test_passkeys_work_in_browsers_without_webauthn_json_methods(hers, ada):
    hers.add_init_script(
        """
        delete PublicKeyCredential.parseCreationOptionsFromJSON;
        delete PublicKeyCredential.parseRequestOptionsFromJSON;
        delete PublicKeyCredential.prototype.toJSON;
        """
    )
    VirtualAuthenticator(hers)
    add(hers)
    sign_out(hers)
    hers.goto("/wan-signin")
    press(hers, "Use my passkey")
    who(hers, ada.email)


def test_passkey_creation_works_when_a_password_managers_tojson_throws(hers):
    hers.add_init_script("PublicKeyCredential.prototype.toJSON = () => { throw new TypeError('Illegal invocation'); };")
    VirtualAuthenticator(hers)
    add(hers)


def test_passkey_buttons_are_hidden_in_browsers_without_webauthn(new_browser, people, sign_in, email):
    page = sign_in(people.open(email=email), new_browser())
    page.add_init_script("delete window.PublicKeyCredential;")
    page.goto("/wan-register")
    assert page.get_by_role("button", name=ADD).is_hidden()
    page.context.clear_cookies()
    page.goto("/us-signin")
    assert page.get_by_role("button", name=USE).is_hidden()
    assert page.get_by_role("button", name="Send me a code").is_visible()


def test_passkey_button_is_hidden_without_javascript(new_browser):
    page = new_browser(java_script_enabled=False)
    page.goto("/us-signin")
    assert page.get_by_role("button", name=USE).is_hidden()
    assert page.get_by_role("button", name="Send me a code").is_visible()


def test_non_json_response_shows_a_connection_error(hers):
    VirtualAuthenticator(hers)
    hers.goto("/wan-register")
    hers.route("**/wan-register", lambda route: route.fulfill(status=429, body="<h1>Proxy</h1>"))
    press(hers, ADD)
    hers.get_by_text("We couldn't reach the service.").wait_for()


def test_user_without_passkey_is_offered_one_after_sign_in(hers):
    VirtualAuthenticator(hers)
    hers.goto("/")
    hers.get_by_role("heading", name="Sign in faster next time").wait_for()
    assert serious_faults(hers) == []
    with hers.expect_navigation():
        press(hers, ADD)
    hers.get_by_text("Passkey added.").wait_for()
    hers.goto("/")
    assert hers.get_by_text("Sign in faster next time").count() == 0


def test_declined_passkey_offer_is_not_shown_again(hers):
    VirtualAuthenticator(hers)
    hers.goto("/")
    with hers.expect_navigation():
        press(hers, "Not now")
    hers.get_by_role("heading", name="Your account").wait_for()
    assert hers.get_by_text("Sign in faster next time").count() == 0


def test_device_without_platform_authenticator_gets_no_passkey_offer(hers):
    hers.goto("/")
    hers.get_by_role("heading", name="Your account").wait_for()
    assert hers.get_by_text("Sign in faster next time").is_hidden()
