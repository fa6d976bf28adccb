"""What the browser stores while someone is signed in, and afterwards."""

from __future__ import annotations

import pytest

from tests.browsing import ARGUMENTS, CHROMIUM


def test_cookies_are_http_only_and_web_storage_is_empty(page, people, email, ask_for_code, mailbox):
    people.open(email=email)
    ask_for_code(page, email)
    page.goto(mailbox.newest(email).link)
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
    assert {"latchkey_session", "latchkey_browser"} <= set(cookies)
    assert [name for name, cookie in cookies.items() if not cookie["httpOnly"] or cookie["sameSite"] != "Lax"] == []
    assert page.evaluate("document.cookie") == ""
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0


@pytest.mark.parametrize("keeps_pages", [False, True], ids=["pages are fetched", "pages are kept whole"])
def test_back_button_after_logout_shows_no_private_page(
    playwright_running, live_server, people, email, sign_in, keeps_pages
):
    switched = ["--disable-back-forward-cache"] if keeps_pages else []
    browser = playwright_running.launch(executable_path=CHROMIUM, args=ARGUMENTS, ignore_default_args=switched)
    page = sign_in(people.open(email=email), browser.new_page(base_url=live_server.url))
    page.goto("/us-setup")
    page.goto("/")
    assert email in page.locator("main").inner_text()
    page.get_by_role("button", name="Sign out of this browser").click()
    page.get_by_role("heading", name="Sign in", exact=True).wait_for()
    for _ in range(2):
        page.go_back()
        page.locator("h1").wait_for()
        page.wait_for_load_state()
        assert email not in page.locator("body").inner_text()
    browser.close()


def test_page_restored_from_bfcache_is_reloaded(page, people, email, sign_in):
    sign_in(people.open(email=email)).goto("/")
    page.context.clear_cookies()
    with page.expect_navigation():
        page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })), null")
    assert page.locator("h1").inner_text() == "Sign in"


@pytest.fixture
def playwright_running(chromium):
    """Playwright, to start Chromium with other options."""
    return chromium.browser_type


def test_account_pages_show_who_is_signed_in(page, people, email, sign_in):
    sign_in(people.open(email=email))
    for path in ("/", "/us-setup", "/sessions", "/activity"):
        page.goto(path)
        assert page.locator(".bar-who").get_attribute("title") == email
    page.goto("/us-verify")
    assert email in page.locator(".lead").inner_text()
