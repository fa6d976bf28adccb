"""Authenticator apps in a real browser: add a second one, name it, use it, and remove the first."""

from __future__ import annotations

import pytest

from tests.browser.apps import add_app, code_of

APPS = "section[aria-labelledby=apps]"


@pytest.fixture
def ada(people, email):
    """Someone who signs in by email and by an app."""
    return people.open(email=email, methods=["email", "authenticator"])


def names(page) -> list[str]:
    """Return the names of the apps on the page."""
    return [str(text) for text in page.locator(f"{APPS} h3").all_inner_texts()]


def test_new_authenticator_app_can_replace_the_old_one(sign_in, ada):
    page = sign_in(ada)
    key = add_app(page, "New phone")
    page.goto("/us-setup")
    assert names(page) == ["Authenticator app", "New phone"]
    old, new = page.locator(f"{APPS} li").all()
    new.get_by_text("Change").click()
    new.get_by_label("New name").fill("Ada’s phone")
    new.get_by_role("button", name="Save name").click()
    page.get_by_text("App renamed.").wait_for()
    assert names(page) == ["Authenticator app", "Ada’s phone"]
    old.get_by_text("Change").click()
    old.get_by_role("button", name="Remove").click()
    page.get_by_text("App removed.").wait_for()
    assert names(page) == ["Ada’s phone"]
    page.context.clear_cookies()
    page.goto("/us-signin")
    page.fill("[name=identity]", ada.email)
    page.get_by_text("Use an authenticator app").click()
    page.get_by_label("Code from your app").fill(code_of(key, 1))
    with page.expect_navigation():
        page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("heading", name="Your account").wait_for()


def test_limit_of_five_authenticator_apps_hides_the_add_button(sign_in, ada):
    page = sign_in(ada)
    for _ in range(4):
        add_app(page)
    page.goto("/us-setup")
    assert names(page) == ["Authenticator app", *(f"Authenticator app {number}" for number in range(2, 6))]
    assert page.get_by_role("button", name="Add another app").count() == 0
    page.get_by_text("You've reached the limit.").wait_for()
