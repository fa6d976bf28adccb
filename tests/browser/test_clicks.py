"""How many clicks, fields and pages it takes to sign in."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.passkeys import VirtualAuthenticator
from tests.browser.test_passkeys import NO_OFFER, add, sign_out

IDENTITY, CODE = "Email, phone or username", "Your code"
SENT = "SELECT count(*) FROM message WHERE \"to\" = '{}'"


class CountingUser:
    """A user at a page, whose actions are counted."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.clicks = self.fields = 0
        self.screens: list[str] = []

    def see(self, heading: str) -> None:
        """Wait for a page."""
        self.page.get_by_role("heading", name=heading, level=1).wait_for()
        self.screens.append(heading)

    def fill(self, label: str, text: str) -> None:
        """Fill in a field."""
        self.page.get_by_label(label, exact=True).press_sequentially(text)
        self.fields += 1

    def click(self, name: str) -> None:
        """Press a button or open a disclosure."""
        self.page.get_by_role("button", name=name, exact=True).or_(self.page.locator("summary", has_text=name)).click()
        self.clicks += 1

    @property
    def done(self) -> tuple[int, int, int]:
        """Clicks, fields, and pages before being signed in."""
        return self.clicks, self.fields, len(self.screens) - 1


@pytest.fixture
def hands(new_browser):
    """Opens the first step: ``hands(script=False)``."""

    def come(page: Any = None, *, script: bool = True, path: str = "/us-signin") -> CountingUser:
        found = CountingUser(page or new_browser(java_script_enabled=script))
        found.page.goto(path)
        return found

    return come


def leave(hands: CountingUser) -> None:
    """Sign out, and reset the counts."""
    hands.page.get_by_role("button", name="Sign out of this browser").click()
    hands.page.get_by_role("heading", name="Sign in", level=1).wait_for()
    hands.clicks = hands.fields = 0
    hands.screens = ["Sign in"]


def test_registration_by_link_takes_one_click_one_field_and_two_screens(hands, email, mailbox):
    new = hands(path="/register")
    new.see("Create an account")
    new.fill("Email", email)
    new.click("Send me a code")
    new.see("Check your email")
    new.page.goto(mailbox.newest(email).link)
    new.see("Your account")
    assert new.done == (1, 1, 2)


@pytest.mark.parametrize(("script", "clicks"), [(True, 1), (False, 2)], ids=["with script", "without script"])
def test_code_sign_in_takes_one_click_and_two_fields(hands, people, email, mailbox, script, clicks):
    people.open(email=email)
    ada = hands(script=script)
    ada.see("Sign in")
    ada.fill(IDENTITY, email)
    ada.click("Send me a code")
    ada.see("Check your email")
    ada.fill(CODE, mailbox.newest(email).code)
    if not script:
        ada.click("Sign in")
    ada.see("Your account")
    assert ada.done == (clicks, 2, 2)


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_repeat_authenticator_sign_in_takes_one_click_two_fields_and_no_email(
    hands, people, email, shared_database, script
):
    ada = people.open(email=email, methods=["email", "authenticator"])
    back = hands(script=script)
    back.fill(IDENTITY, email)
    back.click("Use an authenticator app")
    back.fill("Code from your app", ada.app_code())
    back.click("Sign in")
    back.see("Your account")
    leave(back)
    before = shared_database.query(SENT.format(email))
    back.fill(IDENTITY, email)
    back.fill("Code from your app", ada.app_code(1))
    back.click("Sign in")
    back.see("Your account")
    assert back.done == (1, 2, 1)
    assert shared_database.query(SENT.format(email)) == before


def test_passkey_sign_in_takes_one_click(hands, people, email, sign_in):
    page = sign_in(people.open(email=email))
    device = VirtualAuthenticator(page)
    add(page)
    sign_out(page)
    page.add_init_script(NO_OFFER)
    ada = hands(page)
    ada.see("Sign in")
    ada.click("Sign in with a passkey")
    ada.see("Your account")
    assert ada.done == (1, 0, 1)
    assert device.credentials
