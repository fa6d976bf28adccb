"""The console with only the keyboard, on a desktop and a phone; and each of its pages checked by axe-core."""

from __future__ import annotations

import pytest

from app.admin.presenters import CONSOLE_PAGES
from tests.browser.keyboard import Keyboard
from tests.browser.test_looks import Look
from tests.functional.admin.conftest import make_administrator


@pytest.fixture
def grace(shared_app, people, email):
    """An administrator."""
    return make_administrator(shared_app, people.open(email=f"grace.{email}"))


@pytest.mark.parametrize("width", [1280, 390])
def test_admin_finds_disables_and_enables_an_account_by_keyboard(page, people, email, sign_in, grace, width):
    page.set_viewport_size({"width": width, "height": 800})
    people.open(email=email)
    sign_in(grace).goto("/admin")
    keyboard = Keyboard(page)
    keyboard.go("People")
    keyboard.write("Search", email)
    keyboard.go()
    keyboard.go(email)
    keyboard.go("Disable")
    assert page.get_by_role("status").inner_text() == "Account disabled. All its sessions have ended."
    keyboard.go("Enable")
    assert page.get_by_role("status").inner_text() == "Account enabled. Its owner can sign in again."


def test_console_navigation_reaches_and_marks_each_page(page, sign_in, grace):
    sign_in(grace).goto("/admin")
    for entry in CONSOLE_PAGES:
        page.get_by_role("navigation", name="Console").get_by_role("link", name=entry.title, exact=True).click()
        assert page.evaluate("location.pathname") == entry.path
        assert page.locator(".side-nav [aria-current]").all_inner_texts() == [entry.title]


def test_console_tab_order_starts_with_a_working_skip_link(page, sign_in, grace):
    sign_in(grace).goto("/admin/people")
    reached = []
    for _ in range(5):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim()"))
    assert reached == ["Skip to main content", "Latchkey", "Sign out", "Overview", "People"]
    page.goto("/admin/people")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "q"


def test_console_pages_have_no_accessibility_or_layout_faults(new_browser, people, email, phone, sign_in, grace):
    ada = people.open(email=email, phone=phone, methods=["email", "authenticator"], second="authenticator")
    look = Look(new_browser(reduced_motion="reduce"))
    sign_in(ada, new_browser()).goto("/")
    sign_in(grace, look.page)
    for entry in CONSOLE_PAGES:
        look.at(entry.title, entry.path)
    look.at("a person", f"/admin/people?q={email}")
    look.page.get_by_role("link", name=email, exact=True).click()
    look.page.get_by_text("Turn off two-step verification").first.click()
    look.page.get_by_text("Delete it now").click()
    look.at("a person, opened")
    look.at("no one found", "/admin/people?q=nobody-has-this")
    assert look.faults == []
