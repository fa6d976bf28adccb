"""The page that shows new recovery codes: copy, save and print them."""

from __future__ import annotations

import re

import pytest


@pytest.fixture
def shown(page, people, email, sign_in):
    """A page with ten new codes, and the codes."""
    sign_in(people.open(email=email)).goto("/mf-recovery-codes")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Create recovery codes").click()
    page.get_by_role("heading", name="Your new codes").wait_for()
    return page, page.locator("#codes code").all_inner_texts()


def test_recovery_codes_are_copied_line_by_line(shown):
    page, codes = shown
    page.get_by_role("button", name="Copy all").click()
    page.get_by_text("Copied").first.wait_for()
    assert page.evaluate("navigator.clipboard.readText()").splitlines() == codes


def test_recovery_codes_can_be_downloaded_without_leaving_the_page(shown):
    page, codes = shown
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    saved = download.value
    assert saved.suggested_filename == "recovery-codes.txt"
    assert [line for line in saved.path().read_text().splitlines() if re.match(r"\w{4}-\w{4}-", line)] == codes
    assert page.get_by_role("heading", name="Your new codes").is_visible()


def test_printout_has_the_codes_and_their_owner_but_no_controls(shown, email):
    page, codes = shown
    page.emulate_media(media="print")
    text = page.locator("body").inner_text()
    assert all(code in text for code in codes)
    assert f"For {email}" in text
    assert not page.get_by_role("button").first.is_visible()
    assert not page.get_by_role("navigation").first.is_visible()


def test_print_button_opens_the_print_dialog(shown):
    page, _ = shown
    page.evaluate("window.print = () => { document.title = 'printed' }")
    page.get_by_role("button", name="Print").click()
    assert page.title() == "printed"
