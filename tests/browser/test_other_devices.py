"""A passkey on one device doesn't restrict another device that is signed in by email."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.code_entry import type_code
from tests.browser.passkeys import VirtualAuthenticator
from tests.browsing import serious_faults

ADD, NEEDED = "Add a passkey", "Confirm it's you"


@pytest.fixture
def first(people, email, sign_in, page):
    """Ada's laptop, just after adding a passkey."""
    sign_in(people.open(email=email))
    page.device = VirtualAuthenticator(page)
    page.goto("/wan-register")
    with page.expect_navigation():
        page.get_by_role("button", name=ADD).click()
    page.get_by_text("Passkey added.").wait_for()
    return page


@pytest.fixture
def phone(first, new_browser, ask_for_code, mailbox, email):
    """Her phone, signed in by email code."""
    there = new_browser()
    ask_for_code(there, email)
    type_code(there, mailbox.newest(email, "Sign in to").code)
    there.get_by_role("button", name="Sign in", exact=True).click()
    there.get_by_role("heading", name="Your account").wait_for()
    there.device = VirtualAuthenticator(there)
    return there


def add_there(phone: Any) -> None:
    """Add a passkey on the phone."""
    phone.goto("/wan-register")
    with phone.expect_navigation():
        phone.get_by_role("button", name="Add another passkey").click()
    phone.get_by_text("Passkey added.").wait_for()


def test_first_passkey_is_followed_by_recovery_codes(first):
    assert first.url.endswith("/mf-recovery-codes")
    first.get_by_role("button", name="Create recovery codes").click()
    first.get_by_role("heading", name="Your new codes").wait_for()
    assert first.locator("#codes code").count() == 10


def test_settings_pages_open_without_passkey_and_say_what_changes_require(phone):
    for path in ("/us-setup", "/wan-register", "/tf-setup", "/mf-recovery-codes", "/change-email", "/identities"):
        phone.goto(path)
        assert phone.url.endswith(path)
        assert phone.get_by_text("confirm with your passkey. Use a device that has your passkey.").is_visible()
        assert serious_faults(phone) == []


def test_passkey_added_on_another_device_cannot_change_methods_for_a_day(phone, first, mailbox, email):
    add_there(phone)
    phone.get_by_text("Can't change your other methods until").wait_for()
    assert len(phone.device.credentials) == 1
    assert mailbox.newest(email, "changed", text="it can't change the others until")
    first.goto("/wan-register")
    assert first.get_by_role("heading", name="Passkeys", exact=True).first.is_visible(), "nobody signed her out there"
    first.get_by_text("Change", exact=False).last.click()
    first.get_by_role("button", name="Remove").last.click()
    first.get_by_text("Passkey removed.").wait_for()


def test_confirming_with_a_new_passkey_shows_one_notice_and_grants_no_changes(phone):
    add_there(phone)
    phone.get_by_role("link", name=NEEDED).click()
    with phone.expect_navigation():
        phone.get_by_role("button", name="Use my passkey").click()
    phone.wait_for_url("**/wan-register")
    assert phone.locator(".notice-success").count() == 1
    assert phone.get_by_text("other changes still need your passkey").is_visible()


def test_confirming_by_email_returns_with_one_notice(phone, mailbox, email):
    phone.goto("/us-setup")
    phone.get_by_role("link", name=NEEDED).click()
    phone.get_by_text("I don't have it with me").click()
    assert serious_faults(phone) == []
    phone.get_by_role("button", name="Email me a code").click()
    type_code(phone, mailbox.newest(email, "Confirm it's you").code)
    phone.get_by_role("button", name="Continue").click()
    phone.wait_for_url("**/us-setup")
    assert phone.get_by_text("other changes still need your passkey").count() == 1


def test_recovery_code_allows_changes_on_a_device_without_passkey(first, new_browser, ask_for_code, mailbox, email):
    first.get_by_role("button", name="Create recovery codes").click()
    code = first.locator("#codes code").first.inner_text()
    there = new_browser()
    ask_for_code(there, email)
    type_code(there, mailbox.newest(email, "Sign in to").code)
    there.get_by_role("button", name="Sign in", exact=True).click()
    there.get_by_role("heading", name="Your account").wait_for()
    there.goto("/us-setup")
    assert there.get_by_text("Use a device that has your passkey.").is_visible()
    there.get_by_role("link", name=NEEDED).click()
    there.get_by_text("Use a recovery code").click()
    there.get_by_label("Recovery code").fill(code)
    there.get_by_role("button", name="Use this code").click()
    there.wait_for_url("**/us-setup")
    there.get_by_text("Change", exact=False).first.click()
    there.get_by_role("button", name="Remove").click()
    there.get_by_text("Passkey removed.").wait_for()
