"""The code page: submits a complete code automatically, and links to the reader's mailbox."""

from __future__ import annotations

import pytest


@pytest.fixture
def waiting(page, email):
    """The code page of a new account."""
    page.goto("/us-signin")
    page.get_by_label("Email, phone or username").fill(email)
    page.get_by_role("button", name="Send me a code").click()
    page.get_by_role("heading", name="Check your email").wait_for()
    return page


def test_code_is_submitted_with_its_last_digit(waiting, email, mailbox):
    code = mailbox.newest(email).code
    field = waiting.get_by_label("Your code")
    field.press_sequentially(code[:-1])
    assert waiting.url.endswith("/us-signin")
    with waiting.expect_navigation():
        field.press(code[-1])
    assert waiting.get_by_role("button", name="Sign out", exact=True).count() == 1


def test_pasted_code_is_submitted_once(waiting):
    posts = []
    waiting.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    with waiting.expect_navigation():
        waiting.get_by_label("Your code").fill("0000 0000")
    assert waiting.title().startswith("Error: ")
    assert len(posts) == 1
    assert waiting.get_by_label("Your code").input_value() == ""


def test_code_page_links_to_webmail_of_a_known_provider(page):
    page.goto("/us-signin")
    page.get_by_label("Email, phone or username").fill("nobody.has.this@gmail.com")
    page.get_by_role("button", name="Send me a code").click()
    link = page.get_by_role("link", name="Open Gmail")
    assert link.get_attribute("href") == "https://mail.google.com/"
    assert "noreferrer" in (link.get_attribute("rel") or "")


def test_sign_in_page_marks_the_last_used_method(waiting, email, mailbox):
    assert waiting.get_by_text("Last used here").count() == 0
    with waiting.expect_navigation():
        waiting.get_by_label("Your code").fill(mailbox.newest(email).code)
    waiting.get_by_role("button", name="Sign out", exact=True).click()
    waiting.goto("/us-signin")
    assert waiting.locator(".button-main + .used-last").inner_text() == "Last used here"
    assert waiting.get_by_role("button", name="Send me a code", description="Last used here").is_visible()
