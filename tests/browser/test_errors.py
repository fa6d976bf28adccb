"""Errors are described, linked to their field, and the field has the focus."""

from __future__ import annotations

import re

import pytest

from tests.browser.code_entry import type_code
from tests.sinks import until

NOTED = """
addEventListener("DOMContentLoaded", () => {
  window.spoken = [];
  new MutationObserver(changes => {
    for (const change of changes) {
      const region = change.target.closest("[role=status], [role=alert]");
      if (region && change.addedNodes.length) window.spoken.push(region.textContent.trim());
    }
  }).observe(document.body, { childList: true, subtree: true });
});
"""
"""Records what is inserted into live regions after loading: only that is announced reliably."""


def is_tied(page, field, sentence):
    """Return whether ``field`` is marked as invalid, described by ``sentence``, and has the focus."""
    told = " ".join(page.locator(f"#{note}").inner_text() for note in field.get_attribute("aria-describedby").split())
    assert field.get_attribute("aria-invalid") == "true"
    assert re.search(sentence, told), told
    return field.evaluate("field => field === document.activeElement")


def test_invalid_email_error_is_tied_to_its_field(page):
    page.goto("/register")
    page.get_by_label("Email").fill("ada@example")
    page.get_by_label("Email").press("Enter")
    page.locator(".field-error").wait_for()
    assert is_tied(page, page.get_by_label("Email"), "Enter a valid email address")
    assert page.get_by_label("Email").input_value() == "ada@example"


def test_invalid_phone_number_error_is_tied_to_its_field(page, people, email, sign_in):
    sign_in(people.open(email=email)).goto("/us-setup")
    page.get_by_label("Phone number").fill("12")
    page.get_by_label("Phone number").press("Enter")
    page.locator(".field-error").wait_for()
    assert is_tied(page, page.get_by_label("Phone number"), "valid phone number.*country code")


def test_wrong_authenticator_code_error_is_tied_to_its_field(page, people, email, sign_in):
    sign_in(people.open(email=email)).goto("/us-setup")
    page.get_by_role("button", name="Sign in with it alone").click()
    page.get_by_label("Code from your app").fill("000000")
    page.get_by_label("Code from your app").press("Enter")
    page.locator(".field-error").wait_for()
    assert is_tied(page, page.get_by_label("Code from your app"), "That code didn't work. Check it and try again.")


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_wrong_code_keeps_the_page_and_the_right_code_still_works(
    new_browser, people, email, ask_for_code, mailbox, script
):
    page = new_browser(java_script_enabled=script)
    people.open(email=email)
    ask_for_code(page, email)
    field = page.get_by_label("Your code")
    field.fill("0000 0000")
    if not script:  # with JavaScript, the last digit submits the code
        field.press("Enter")
    page.get_by_role("alert").wait_for()
    assert is_tied(page, field, "That code didn't work")
    assert field.input_value() == ""
    field.fill(mailbox.newest(email).code)
    if not script:
        field.press("Enter")
    page.get_by_role("heading", name="Your account").wait_for()


def test_success_notice_is_announced_in_a_live_region(page, people, email, sign_in):
    page.add_init_script(NOTED)
    sign_in(people.open(email=email)).goto("/")
    page.get_by_role("button", name="Sign out of this browser").click()
    page.get_by_role("status").filter(has_text="You're signed out.").wait_for()
    assert until(lambda: page.evaluate("window.spoken")) == ["You're signed out."]


def test_error_is_announced_in_a_live_region(page, people, email, ask_for_code):
    page.add_init_script(NOTED)
    people.open(email=email)
    ask_for_code(page, email)
    type_code(page, "00000000")
    page.get_by_label("Your code").press("Enter")
    page.get_by_role("alert").wait_for()
    assert until(lambda: page.evaluate("window.spoken"))[0].startswith("That code didn't work")
