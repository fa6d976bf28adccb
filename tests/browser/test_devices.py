"""The account's pages with only the keyboard: find an unwanted session and end it."""

from __future__ import annotations

import pytest

from app.web.pages import ACCOUNT_PAGES
from tests.browser.keyboard import Keyboard


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_account_navigation_reaches_and_marks_each_page(page, people, email, sign_in, width):
    page.set_viewport_size({"width": width, "height": 800})
    sign_in(people.open(email=email)).goto("/sessions")
    for entry in ACCOUNT_PAGES:
        Keyboard(page).go(entry.title)
        assert page.evaluate("location.pathname") == entry.path
        assert page.locator(".side-nav [aria-current]").all_inner_texts() == [entry.title]


def test_other_sessions_are_ended_by_keyboard(page, new_browser, people, email, sign_in):
    ada = people.open(email=email)
    sign_in(ada).goto("/sessions")
    other = sign_in(ada, new_browser())
    page.reload()
    Keyboard(page).go("Sign out everywhere else")
    assert page.get_by_role("status").inner_text() == "You're signed out everywhere else."
    assert page.get_by_role("button", name="Sign out everywhere else").count() == 0
    other.goto("/sessions")
    assert "/login" in other.url


def test_single_session_is_ended_by_keyboard(page, new_browser, people, email, sign_in):
    ada = people.open(email=email)
    sign_in(ada, new_browser()).goto("/")
    sign_in(ada).goto("/sessions")
    Keyboard(page).go("Sign out ")
    assert page.get_by_role("status").inner_text().startswith("That device is signed out.")
    assert page.get_by_role("button", name=", last seen").count() == 0


def test_recent_times_are_relative_with_local_time_as_tooltip(new_browser, people, email, sign_in):
    page = sign_in(people.open(email=email), new_browser(timezone_id="Asia/Kolkata"))
    page.goto("/sessions")
    seen = page.locator(".way-text time").first
    assert seen.inner_text() in ("now", "1 second ago") or seen.inner_text().endswith("seconds ago")
    assert seen.get_attribute("title").endswith(" GMT+5:30")


def test_export_page_updates_itself_when_ready(page, people, email, sign_in):
    sign_in(people.open(email=email)).goto("/my-data")
    page.get_by_role("button", name="Request an export").click()
    page.get_by_role("link", name="Download the export").wait_for()
    assert page.locator("[data-refresh-voice]").inner_text() == "Your data is ready."
