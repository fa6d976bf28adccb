"""Links in emails: where they sign in, and where they have no effect."""

from __future__ import annotations

import pytest

SESSIONS = "SELECT count(*) FROM auth_session WHERE revoked_at IS NULL"


@pytest.fixture
def letter(people, email, page, ask_for_code, mailbox):
    """The email that ``page`` has requested."""
    people.open(email=email)
    ask_for_code(page, email)
    return mailbox.newest(email, "Sign in to")


def test_link_signs_in_the_requesting_browser_and_leaves_no_token_in_the_url(page, email, letter):
    page.goto(letter.link)
    page.get_by_role("heading", name="Your account").wait_for()
    assert page.url == page.url.split("?")[0]
    assert "token" not in page.evaluate("performance.getEntriesByType('navigation')[0].name + document.referrer")
    assert page.locator(".bar-who").get_attribute("title") == email


def test_link_button_in_the_email_opens_a_signed_in_tab(page, email, letter):
    page.goto(letter.page)
    with page.context.expect_page() as opened:
        page.frame_locator("iframe").get_by_role("link", name="Sign in to Latchkey").click()
    opened.value.get_by_role("heading", name="Your account").wait_for()
    assert "token" not in opened.value.url


def test_link_in_another_browser_does_not_sign_in_and_explains_what_to_do(page, letter, new_browser, shared_database):
    before = shared_database.query(SESSIONS)
    other = new_browser()
    other.goto(letter.link)
    assert other.locator("h1").inner_text() == "Signing in on another device?"
    told = other.locator("main").inner_text()
    assert "go back there and enter the code" in told
    assert "Chrome on Linux" in told
    assert "3 characters shown where you started" in told
    other.goto("/")
    assert other.locator("h1").inner_text() == "Sign in"
    assert shared_database.query(SESSIONS) == before
    page.goto(letter.link)
    assert page.locator("h1").inner_text() == "Your account"


def test_link_in_another_browser_leaves_no_token_in_the_url(letter, new_browser):
    other = new_browser()
    other.goto(letter.link)
    other.locator("h1").wait_for()
    assert "token" not in other.url
    other.goto("/")
    other.go_back()
    assert "token" not in other.url


def test_sign_in_button_in_another_browser_does_not_sign_in(letter, new_browser):
    other = new_browser()
    other.goto(letter.link)
    other.get_by_role("button", name="Sign in here").click()
    other.locator("#characters-error").wait_for()
    assert "was requested in another browser" in other.locator("#characters-error").inner_text()
    other.goto("/")
    assert other.locator("h1").inner_text() == "Sign in"


def test_used_link_redirects_to_the_sign_in_page(page, letter, new_browser):
    page.goto(letter.link)
    other = new_browser()
    other.goto(letter.link)
    assert other.url.endswith("/us-signin")
    assert other.get_by_role("alert").inner_text()


def test_confirming_email_in_another_browser_does_not_sign_in_there(page, email, mailbox, new_browser):
    page.goto("/register")
    page.get_by_label("Email").fill(email)
    page.get_by_role("button", name="Send me a code").click()
    link = mailbox.newest(email).link
    other = new_browser()
    other.goto(link)
    assert other.locator("h1").inner_text() == "Is this your email?"
    other.get_by_role("button", name="Yes, confirm my email").click()
    other.get_by_text("your email is confirmed").wait_for()
    other.goto("/")
    assert other.locator("h1").inner_text() == "Sign in"
