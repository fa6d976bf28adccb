"""A link opened on another device, in real browsers: enter the characters, and the first page continues."""

from __future__ import annotations

import pytest

OPEN = "SELECT count(*) FROM auth_session JOIN identity USING (user_id) WHERE value"


@pytest.fixture
def letter(people, email, page, ask_for_code, mailbox):
    """The email that ``page`` has requested."""
    people.open(email=email)
    ask_for_code(page, email)
    return mailbox.newest(email, "Sign in to")


def characters_on(page) -> str:
    """Return the characters on the requesting page."""
    return page.locator(".carry-characters").inner_text().replace("\n", "").replace(" ", "")


def let_in(page, characters: str) -> None:
    """Enter ``characters`` on the page of a link, and press its button."""
    page.locator("[name=characters]").fill(characters)
    page.get_by_role("button", name="Approve sign-in").click()


def test_requesting_browser_continues_by_itself_after_approval_elsewhere(page, email, letter, new_browser):
    phone = new_browser()
    phone.goto(letter.link)
    assert "Chrome on Linux" in phone.locator(".facts").inner_text()
    let_in(phone, characters_on(page).lower())
    phone.get_by_role("heading", name="Approved. Go back to Chrome on Linux").wait_for()
    page.get_by_role("heading", name="Your account").wait_for()
    assert page.locator(".bar-who").get_attribute("title") == email
    phone.goto("/")
    assert phone.locator("h1").inner_text() == "Sign in"


def test_requesting_browser_continues_by_button_without_javascript(email, people, mailbox, ask_for_code, new_browser):
    people.open(email=email)
    page, phone = new_browser(java_script_enabled=False), new_browser(java_script_enabled=False)
    ask_for_code(page, email)
    page.get_by_role("button", name="I've entered them").click()
    assert "This sign-in isn't approved yet" in page.get_by_role("alert").inner_text()
    phone.goto(mailbox.newest(email, "Sign in to").link)
    let_in(phone, characters_on(page))
    page.get_by_role("button", name="I've entered them").click()
    page.get_by_role("heading", name="Your account").wait_for()


def test_two_wrong_entries_cancel_the_sign_in_on_both_screens(page, letter, new_browser, email, shared_database):
    phone = new_browser()
    phone.goto(letter.link)
    others = "".join("3" if each == "2" else "2" for each in characters_on(page))
    let_in(phone, others)
    assert "Those characters don't match" in phone.locator("#characters-error").inner_text()
    let_in(phone, others)
    phone.get_by_role("heading", name="Sign-in canceled").wait_for()
    page.get_by_text("This sign-in was canceled from the email's link.").first.wait_for()
    assert "canceled from the email" in page.locator("[data-waiting-voice]").text_content()
    assert shared_database.query(f"{OPEN} = '{email}'") == [(0,)]


@pytest.mark.long
def test_link_scanner_pressing_every_button_gets_no_session(page, letter, new_browser, email, shared_database):
    for _ in range(3):
        robot = new_browser()
        robot.request.head(letter.link)
        robot.goto(letter.link)
        for number in range(robot.locator("button, summary").count()):
            press(robot, letter.link, number)
        assert "latchkey_session" not in [cookie["name"] for cookie in robot.context.cookies()]
    assert shared_database.query(f"{OPEN} = '{email}'") == [(0,)]
    page.goto(letter.link)
    assert page.locator("h1").inner_text() == "Your account"


def press(robot, link: str, number: int) -> None:
    """Submit the link's page by script, bypassing the browser's validation."""
    robot.goto(link)
    robot.evaluate(
        """number => {
            for (const form of document.forms) form.noValidate = true;
            document.querySelectorAll("button, summary")[number].click();
        }""",
        number,
    )
    robot.wait_for_load_state("networkidle")


def test_waiting_tab_reports_that_the_request_was_already_used(page, letter, email):
    other = page.context.new_page()
    other.goto(letter.link)
    other.get_by_role("heading", name="Your account").wait_for()
    page.bring_to_front()
    page.get_by_text("This request was already used.").first.wait_for()
    page.get_by_role("link", name="Continue").click()
    page.get_by_role("heading", name="Your account").wait_for()


def test_attacker_requesting_a_link_stays_out_without_the_characters(page, letter, new_browser, email, shared_database):
    victim = new_browser()
    victim.goto(letter.link)
    victim.get_by_role("button", name="Sign in here").click()
    page.wait_for_timeout(2500)
    assert page.locator("h1").inner_text() == "Check your email"
    assert shared_database.query(f"{OPEN} = '{email}'") == [(0,)]
