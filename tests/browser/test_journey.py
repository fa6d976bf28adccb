"""All features with only the keyboard, with JavaScript and without."""

from __future__ import annotations

import re
import time
from typing import Any

import pyotp
import pytest

from tests.browser.keyboard import Keyboard
from tests.browser.mailbox import InboxMessage, Mailbox
from tests.databases import Database


class KeyboardUser:
    """Someone who uses the service in one browser, only with the keyboard."""

    def __init__(self, page: Any, mailbox: Mailbox, email: str, phone: str) -> None:
        self.page = page
        self.keys = Keyboard(page)
        self.mailbox = mailbox
        self.email = email
        self.phone = phone
        self.key = ""
        self.read: dict[str, InboxMessage] = {}

    @property
    def heading(self) -> str:
        return str(self.page.locator("h1").inner_text())

    @property
    def notice(self) -> str:
        return str(self.page.locator(".notice").first.inner_text())

    def open_message(self, to: str, subject: str) -> tuple[Keyboard, InboxMessage]:
        """Find the next message with this subject in the mailbox, in another tab of the same browser."""
        letter = self.mailbox.newest(to, subject, after=self.read.get(to))
        self.read[to] = letter
        tab = self.page.context.new_page()
        tab.goto("/dev/inbox")
        keys = Keyboard(tab)
        keys.go(letter.subject or letter.text[:20])
        assert letter.page in tab.url
        return keys, letter

    def type_code(self, to: str, subject: str = "") -> None:
        """Read the code in the mailbox and type it as shown there."""
        keys, letter = self.open_message(to, subject)
        assert letter.text.splitlines()[0] in keys.page.locator("pre").inner_text()
        keys.page.close()
        code = letter.code
        submits_itself = self.page.locator("[data-submit-at]")  # here, Enter submits it
        submits_itself.evaluate_all("all => all.forEach((field) => field.removeAttribute('data-submit-at'))")
        self.keys.write("Your code", f"{code[: len(code) // 2]} {code[len(code) // 2 :]}")
        self.keys.go()

    def open_account(self) -> None:
        self.page.goto("/")
        self.keys.go("Create an account")
        self.keys.write("Email", self.email)
        self.keys.go("Send me a code")
        assert self.heading == "Check your email"
        self.type_code(self.email, "Confirm your email")
        assert self.heading == "Your account"
        assert self.page.locator(".bar-who").get_attribute("title") == self.email

    def set_up_app(self) -> None:
        self.keys.go("Sign-in methods")
        self.keys.go("Sign in with it alone: Authenticator app")
        self.keys.to("Can't scan it?")
        self.keys.press("Enter")
        self.key = re.sub(r"\W", "", self.page.locator("#enrolling-key").inner_text())
        self.keys.to("Code from your app")
        self.page.keyboard.type(self.app_code(-1))
        self.keys.go()
        assert self.notice == "Sign-in method added."
        assert self.heading == "Recovery codes"
        self.keys.go("Not now")

    def app_code(self, steps: int) -> str:
        """Return the code of a step of 30 s relative to now; for a negative one, wait if it is about to expire."""
        into = time.time() % 30
        if steps < 0 and into > 20:
            time.sleep(30 - into)
        return pyotp.TOTP(self.key).at(int(time.time()) + 30 * steps)

    def set_up_phone(self) -> None:
        self.keys.go("Sign-in methods")
        self.keys.write("Phone number", self.phone)
        self.keys.go()
        self.type_code(self.phone)
        assert self.ways() == ["Email code", "Text-message code", "Authenticator app"]

    def ways(self) -> list[str]:
        listed = "section[aria-labelledby=ways-set-up] h3, section[aria-labelledby=apps] h3"
        found: list[str] = self.page.locator(listed).all_inner_texts()
        return found

    def sign_out(self) -> None:
        self.keys.go("Sign out")
        assert (self.heading, self.notice) == ("Sign in", "You're signed out.")

    def ask_for_code(self) -> None:
        self.keys.write("Email, phone or username", self.email)
        self.keys.go("Send me a code")
        assert self.heading == "Check your email"

    def sign_in_by_code(self) -> None:
        self.ask_for_code()
        self.type_code(self.email, "Sign in to")
        assert self.heading == "Your account"

    def sign_in_by_link(self) -> None:
        self.ask_for_code()
        keys, letter = self.open_message(self.email, "Sign in to")
        keys.go(letter.link)
        assert keys.page.locator("h1").inner_text() == "Your account"
        assert "token" not in keys.page.url
        keys.page.close()
        self.page.goto("/")

    def sign_in_by_app(self) -> None:
        self.keys.write("Email, phone or username", self.email)
        self.keys.to("Keep me signed in")
        self.keys.press("Space")
        self.keys.to("Use an authenticator app")
        self.keys.press("Enter")
        self.keys.write("Code from your app", self.app_code(0))
        self.keys.go("Sign in")
        assert self.heading == "Your account"

    def reauthenticate(self) -> None:
        self.keys.go("Sign-in methods")
        self.keys.go("Confirm it's you")
        assert self.heading == "Confirm it's you"
        assert self.email in self.page.locator("main").inner_text()
        self.keys.write("Code from your authenticator app", self.app_code(1))
        self.keys.go()
        assert self.heading == "Sign-in methods"

    def remove_phone(self) -> None:
        self.keys.to("Remove Text-message code")
        self.keys.press("Enter")
        self.keys.go("Yes, remove it: Text-message code")
        assert self.notice == "Sign-in method removed."
        assert self.ways() == ["Email code", "Authenticator app"]


def age_verifications(database: Database) -> None:
    """Make the last verification of all sessions ten minutes older."""
    for column in ("authenticated_at", "proved_at"):
        database.query(f"UPDATE auth_session SET {column} = datetime({column}, '-600 seconds')")


@pytest.mark.long
@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_complete_journey_works_by_keyboard_alone(new_browser, mailbox, email, phone, shared_database, script):
    user = KeyboardUser(new_browser(java_script_enabled=script), mailbox, email, phone)
    user.open_account()
    user.set_up_app()
    user.set_up_phone()
    user.sign_out()
    user.sign_in_by_code()
    user.sign_out()
    user.sign_in_by_link()
    user.sign_out()
    user.sign_in_by_app()
    age_verifications(shared_database)
    user.reauthenticate()
    user.remove_phone()
    user.sign_out()
