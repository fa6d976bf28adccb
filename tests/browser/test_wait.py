"""A rate-limited request: the page counts down until it can be retried."""

from __future__ import annotations

import pytest

from tests.browsing import serious_faults

BUTTON, BOX = "Send me a code", "Email, phone or username"


@pytest.fixture
def live_server(fresh_database, make_server):
    """A server that allows one code request in four seconds."""
    return make_server(fresh_database, workers=1, LATCHKEY_STARTS_PER_ADDRESS=1, LATCHKEY_ADDRESS_WINDOW=4)


def ask_too_often(page) -> None:
    """Request codes for two people in quick succession."""
    page.goto("/us-signin")
    page.get_by_label(BOX).fill("first@example.com")
    page.get_by_role("button", name=BUTTON).click()
    page.get_by_label("Your code").wait_for()
    page.get_by_role("link", name="Start over").click()
    page.get_by_label(BOX).fill("second@example.com")
    page.get_by_role("button", name=BUTTON).click()
    page.get_by_role("alert").wait_for()


@pytest.mark.one_database
def test_rate_limited_page_counts_down_keeps_input_and_allows_retry(page):
    ask_too_often(page)
    notice = page.get_by_role("alert")
    assert "Try again in" in notice.inner_text()
    assert page.get_by_label(BOX).input_value() == "second@example.com"
    assert serious_faults(page) == []
    notice.get_by_text("You can try again now.").first.wait_for()
    page.get_by_role("button", name=BUTTON).click()
    page.get_by_label("Your code").wait_for()


@pytest.mark.one_database
def test_rate_limited_page_states_the_wait_without_javascript(new_browser):
    page = new_browser(java_script_enabled=False)
    ask_too_often(page)
    assert "Try again in" in page.get_by_role("alert").inner_text()
