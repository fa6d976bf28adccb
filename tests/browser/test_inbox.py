"""The development mailbox, as somebody has it open beside the page."""

from __future__ import annotations


def test_the_mailbox_shows_new_messages_by_itself(page, people, email, new_browser, ask_for_code):
    people.open(email=email)
    beside = new_browser()
    beside.goto("/dev/inbox")
    assert beside.get_by_text(email).count() == 0
    ask_for_code(page, email)
    beside.get_by_text(email).wait_for()
    assert beside.get_by_text("Sign in to Latchkey").first.is_visible()
    assert beside.locator("[data-refresh-voice]").inner_text() == "The list has changed."


def test_without_the_script_the_mailbox_reloads(page, people, email, new_browser, ask_for_code):
    people.open(email=email)
    beside = new_browser(java_script_enabled=False)
    beside.goto("/dev/inbox")
    ask_for_code(page, email)
    beside.get_by_text(email).wait_for()
