"""The development mailbox, open next to the page."""

from __future__ import annotations


def test_development_mailbox_shows_new_messages_without_reload(page, people, email, new_browser, ask_for_code):
    people.open(email=email)
    beside = new_browser()
    beside.goto("/dev/inbox")
    assert beside.get_by_text(email).count() == 0
    ask_for_code(page, email)
    beside.get_by_text(email).wait_for()
    assert beside.get_by_text("Sign in to Latchkey").first.is_visible()
    assert beside.locator("[data-refresh-voice]").inner_text() == "The list has changed."


def test_development_mailbox_reloads_itself_without_javascript(page, people, email, new_browser, ask_for_code):
    people.open(email=email)
    beside = new_browser(java_script_enabled=False)
    beside.goto("/dev/inbox")
    ask_for_code(page, email)
    beside.get_by_text(email).wait_for()


def test_copy_button_copies_the_code_to_the_clipboard(page, people, email, mailbox, ask_for_code):
    people.open(email=email)
    ask_for_code(page, email)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Open the development mailbox").click()
    beside, letter = opened.value, mailbox.newest(email)
    beside.locator(f"a[href='{letter.page}']").click()
    beside.get_by_role("button", name="Copy code").click()
    beside.get_by_role("button", name="Copied").wait_for()
    assert beside.evaluate("navigator.clipboard.readText()") == letter.code


def test_code_is_selected_by_one_click_without_javascript(page, people, email, mailbox, new_browser, ask_for_code):
    people.open(email=email)
    ask_for_code(page, email)
    beside = new_browser(java_script_enabled=False)
    letter = mailbox.newest(email)
    beside.goto(letter.page)
    code = beside.locator("#code")
    assert code.inner_text().replace(" ", "") == letter.code
    assert beside.get_by_role("button", name="Copy code").count() == 0
    assert code.evaluate("element => getComputedStyle(element).userSelect") == "all"


def test_code_pages_link_to_the_development_mailbox(page, people, email, sign_in):
    page.goto("/register")
    page.get_by_label("Email").fill(f"new-{email}")
    page.get_by_role("button", name="Send me a code").click()
    assert page.get_by_role("link", name="Open the development mailbox").get_attribute("href") == "/dev/inbox"
    sign_in(people.open(email=email)).goto("/us-verify")
    assert page.get_by_role("link", name="Open the development mailbox").count() == 0
    page.get_by_role("button", name="Email me a code").click()
    page.get_by_role("link", name="Open the development mailbox").wait_for()
