"""Take a screenshot of every page (``make screenshots``), in desktop and phone size, light and dark.

Walks through the real service as a person who creates an account, sets up all sign-in methods and comes back. All
pictures are saved in var/screenshots, and the few that the documentation shows in docs/screenshots.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
import time
import urllib.request
from itertools import product
from pathlib import Path
from typing import Any

import pyotp
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.passkeys import VirtualAuthenticator
from tests.browsing import ARGUMENTS, CHROMIUM
from tests.databases import ROOT
from tests.screenshot_apps import use_apps, write_clients
from tests.serving import Server, free_port

ALL = ROOT / "var" / "screenshots"
SHOWN = ROOT / "docs" / "screenshots"

WIDTHS = {"desktop": 1280, "phone": 390}
HEIGHTS = {"desktop": 800, "phone": 844}
SCHEMES = ("light", "dark")

AGENTS = {
    "desktop": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "phone": "Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 "
    "Mobile Safari/537.36",
}
BY_HAND = """document.addEventListener("DOMContentLoaded", () => {
  for (const field of document.querySelectorAll("[data-submit-at]")) field.removeAttribute("data-submit-at");
})"""
"""Submit codes with the button, not automatically after the last digit."""

EMAILS = ("ada@example.com", "ada@example.org", "ada@example.net", "ada@example.edu")
"""A different person for each walk."""

PUBLISHED = {
    "sign-in-desktop-light": "sign-in-light",
    "sign-in-desktop-dark": "sign-in-dark",
    "code-phone-dark": "code-phone-dark",
    "account-desktop-light": "account-light",
    "link-elsewhere-phone-light": "link-elsewhere-phone",
    "apps-desktop-light": "apps-light",
    "app-consent-phone-light": "consent-phone",
    "device-consent-phone-light": "device-phone",
}
LARGEST = 200 * 1024
"""Maximum size in bytes of a picture in the repository."""

ARRIVES_WITHIN = 15.0


class Walk:
    """A walk through the service, in one screen size and color scheme."""

    def __init__(self, browser: Browser, url: str, device: str, scheme: Any, number: int) -> None:
        self.url = url
        self.looks = f"{device}-{scheme}"
        self.options: dict[str, Any] = {
            "base_url": url,
            "color_scheme": scheme,
            "reduced_motion": "reduce",
            "user_agent": AGENTS[device],
            "viewport": {"width": WIDTHS[device], "height": HEIGHTS[device]},
        }
        self.browser = browser
        self.email = EMAILS[number]
        self.phone = f"+1650555{100 + number:04}"
        self.key = ""
        self.page: Page = self.someone().new_page()

    def someone(self) -> BrowserContext:
        """Open a browser that the service hasn't seen before."""
        context = self.browser.new_context(**self.options)
        context.set_default_timeout(30_000)
        context.add_init_script(BY_HAND)
        return context

    def take(self, name: str, page: Page | None = None) -> None:
        """Take a screenshot of the whole current page."""
        page = page or self.page
        page.screenshot(path=ALL / f"{name}-{self.looks}.png", full_page=True, animations="disabled", caret="hide")

    def see(self, path: str, name: str) -> None:
        """Go to a page and take a screenshot."""
        self.page.goto(path)
        self.take(name)

    def press(self, text: str) -> None:
        """Press the button labeled ``text``, and wait for the next page."""
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=re.compile(text)).first.click()

    def newest(self, to: str, after: str = "") -> dict[str, Any]:
        """Return the newest message to an address, waiting for one that is newer than the message ``after``."""
        deadline = time.monotonic() + ARRIVES_WITHIN
        while time.monotonic() < deadline:
            mine = [message for message in self._messages() if message["to"] == to and message["id"] > after]
            if mine:
                return mine[0]
            time.sleep(0.1)
        raise TimeoutError(f"no message to {to} within {ARRIVES_WITHIN} s")

    def _messages(self) -> list[dict[str, Any]]:
        request = urllib.request.Request(f"{self.url}/dev/inbox", headers={"Accept": "application/json"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)["response"]["messages"]
            return found

    def link_in(self, message: dict[str, Any]) -> str:
        """Return the link to this service in a message."""
        return re.search(rf"{re.escape(self.url)}/\S+", message["text"])[0]  # type: ignore[index]

    def code_in(self, message: dict[str, Any]) -> str:
        """Return the code at the end of a text message."""
        return re.search(r"#(\d+)\s*\Z", message["text"])[1]  # type: ignore[index]

    def elsewhere(self, address: str, name: str) -> None:
        """Take a screenshot of a URL in another browser."""
        context = self.someone()
        page = context.new_page()
        page.goto(address)
        self.take(name, page)
        context.close()

    def let_in(self, link: str) -> None:
        """Approve this sign-in from another browser, on the second attempt."""
        context = self.someone()
        page = context.new_page()
        page.goto(link)
        for typed, name in (
            ("000", "link-wrong"),
            (self.page.locator(".carry-characters").inner_text(), "link-approved"),
        ):
            page.fill("[name=characters]", typed)
            page.get_by_role("button", name="Approve sign-in").click()
            self.take(name, page)
        context.close()

    def undo(self) -> None:
        """Take a screenshot of the undo page for the last address change in another browser, without using it."""
        mails = [message for message in self._messages() if message["to"] == self.email]
        mail = next(message for message in mails if "/change-email/undo/" in message["text"])
        self.elsewhere(f"/dev/inbox/{mail['id']}/html", "mail-undo")
        self.elsewhere(re.search(r"/change-email/undo/\S+", mail["text"])[0], "undo")  # type: ignore[index]

    def mailed_code_in(self, message: dict[str, Any]) -> str:
        """Return the code on its own line in an email."""
        return re.search(r"^ +(\d{4} \d{4})$", message["text"], re.MULTILINE)[1]  # type: ignore[index]

    def deny(self, path: str) -> None:
        """Report a request as not the user's own, from another browser."""
        context = self.someone()
        page = context.new_page()
        page.goto(path)
        self.take("not-me", page)
        page.get_by_label("I didn't request this").check()
        with page.expect_navigation():
            page.get_by_role("button", name="This wasn't me").click()
        self.take("not-me-denied", page)
        page.goto("/not-me/too-old")
        self.take("link-ended", page)
        context.close()


def open_account(walk: Walk) -> None:
    """Create an account and confirm its address with the link in the email."""
    walk.see("/register", "register")
    walk.page.fill("[name=email]", walk.email)
    walk.press("account|code")
    walk.take("confirm")
    mail = walk.newest(walk.email)
    walk.see("/dev/inbox", "inbox")
    walk.see(f"/dev/inbox/{mail['id']}", "inbox-message")
    walk.see(f"/dev/inbox/{mail['id']}/html", "mail-confirm")
    walk.elsewhere(walk.link_in(mail), "confirm-elsewhere")
    walk.page.goto(walk.link_in(mail))
    walk.take("account-new")


def set_up(walk: Walk) -> None:
    """Add an authenticator app and a phone."""
    walk.see("/us-setup", "set-up")
    walk.press("^Sign in with it alone")
    walk.take("authenticator")
    uri = str(walk.page.locator("a[href^='otpauth:']").first.get_attribute("href"))
    walk.key = pyotp.parse_uri(uri).secret
    walk.page.fill("[name=passcode]", pyotp.TOTP(walk.key).now())
    walk.press("Confirm and add")
    walk.see("/us-setup", "set-up-added")
    walk.page.fill("[name=phone]", walk.phone)
    walk.press("^Text me a code")
    walk.take("phone")
    walk.page.fill("[name=passcode]", walk.code_in(walk.newest(walk.phone)))
    walk.press("Confirm and add")
    walk.see("/mf-recovery-codes", "recovery-none")
    walk.press("Create recovery codes")
    walk.take("recovery-codes")
    walk.see("/mf-recovery-codes", "recovery-left")
    walk.see("/us-setup", "set-up-all")
    walk.see("/", "account")
    walk.see("/sessions", "devices")
    walk.see("/activity", "activity")
    walk.see("/my-data", "my-data")
    before = walk.newest(walk.email)["id"]
    walk.press("Request an export")
    walk.take("my-data-asked")
    walk.newest(walk.email, after=before)
    walk.see("/my-data", "my-data-ready")
    walk.page.locator("summary").get_by_text("Delete my account").click()
    walk.take("my-data-deleting")
    walk.see("/tokens", "programs")
    walk.page.fill("[name=name]", "Backup on the NAS")
    walk.press("Create token")
    walk.take("programs-made")


def ask_for_two(walk: Walk) -> None:
    """Turn on two-step verification, with an app and a phone, and use it."""
    walk.see("/tf-setup", "second-off")
    walk.press(r"^Use this method\s*: Auth")
    walk.take("second-proving")
    walk.page.fill("[name=code]", pyotp.TOTP(walk.key).at(int(time.time()) + 30))
    walk.press("^Confirm")
    walk.take("set-up-second-on")
    walk.page.goto("/tf-setup")
    texted = walk.newest(walk.phone)["id"]
    walk.press(r"^Use this method\s*: Text")
    walk.page.fill("[name=code]", walk.code_in(walk.newest(walk.phone, after=texted)))
    walk.press("^Confirm")
    walk.see("/tf-setup", "second-on")
    walk.page.goto("/")
    walk.press("Sign out of this browser")
    before = walk.newest(walk.email)["id"]
    walk.page.goto("/us-signin")
    walk.page.fill("[name=identity]", walk.email)
    walk.press("Send me a code")
    mail = walk.newest(walk.email, after=before)
    walk.page.fill("[name=passcode]", re.search(r"\d{8}|\d{4} \d{4}", mail["text"])[0])  # type: ignore[index]
    walk.press("^Sign in")
    walk.take("second-select")
    walk.press("Use my authenticator app")
    walk.page.get_by_text("I don't have it with me").click()
    walk.take("second-step")
    walk.page.fill("[name=code]", "000000")
    walk.press("^Sign in")
    walk.take("second-refused")
    walk.see("/tf-rescue", "second-rescue")
    walk.see("/mf-recovery", "second-recovery-code")
    walk.page.goto("/tf-select")
    texted = walk.newest(walk.phone)["id"]
    walk.press("Text me a code")
    text = walk.newest(walk.phone, after=texted)
    walk.take("second-text")
    walk.page.fill("[name=code]", walk.code_in(text))
    walk.page.check("[name=remember]")
    walk.press("^Sign in")
    walk.see("/sessions", "devices-trusted")


def add_passkey(walk: Walk) -> None:
    """Add a passkey, and take a screenshot of passkey sign-in."""
    device = VirtualAuthenticator(walk.page)
    walk.see("/wan-register", "passkeys-none")
    walk.press("^Add a passkey")
    walk.page.get_by_text("Change").first.click()
    walk.take("passkeys")
    walk.see("/us-setup", "set-up-passkey")
    walk.elsewhere("/wan-signin", "passkey-sign-in")
    device.remove()


def addresses(walk: Walk) -> None:
    """Add an address, change the primary one, and show how the old address can undo that."""
    more = f"more-{walk.email}"
    walk.see("/identities", "addresses")
    walk.page.fill("[name=email]", more)
    walk.press("^Send a code")
    walk.take("addresses-code")
    walk.page.fill("[name=passcode]", walk.mailed_code_in(walk.newest(more)))
    walk.press("^Add email")
    walk.page.fill("[name=username]", "ada." + re.sub(r"[^a-z]", "", walk.looks))
    walk.press("^Save username")
    walk.page.get_by_text("Remove").first.click()
    walk.take("addresses-several")
    walk.see("/change-email", "change-email")
    walk.page.fill("[name=email]", f"new-{walk.email}")
    walk.press("^Send a code")
    walk.take("change-email-code")
    walk.elsewhere(walk.link_in(walk.newest(f"new-{walk.email}")), "change-email-elsewhere")
    walk.undo()


def recover(walk: Walk) -> None:
    """With only the mailbox left, start recovering the account in another browser, and cancel it from the email."""
    context = walk.someone()
    page = context.new_page()
    page.goto("/recover")
    walk.take("recover", page)
    before = walk.newest(walk.email)["id"]
    page.fill("[name=identity]", walk.email)
    page.get_by_role("button", name="Email me a code").click()
    page.get_by_label("Your code").wait_for()
    walk.take("recover-code", page)
    mail = walk.newest(walk.email, after=before)
    page.fill("[name=passcode]", walk.mailed_code_in(mail))
    for button, name in (("Continue", "recover-start"), ("Start the recovery", "recover-waiting")):
        with page.expect_navigation():
            page.get_by_role("button", name=button).click()
        walk.take(name, page)
    mail = walk.newest(walk.email, after=mail["id"])
    walk.elsewhere(f"/dev/inbox/{mail['id']}/html", "mail-recovering")
    walk.see("/", "account-recovering")
    page.goto(re.search(r"/recover/cancel/\S+", mail["text"])[0])  # type: ignore[index]
    walk.take("recover-cancel", page)
    page.get_by_label("I can still sign in").check()
    with page.expect_navigation():
        page.get_by_role("button", name="Cancel the recovery").click()
    walk.take("recover-cancelled", page)
    context.close()


def prove_again(walk: Walk) -> None:
    """Reauthenticate, and sign out."""
    walk.see("/us-verify", "verify")
    walk.page.get_by_text("I don't have it with me").click()
    walk.press("Email me a code")
    walk.take("verify-code")
    walk.page.goto("/")
    walk.press("Sign out of this browser")
    walk.take("signed-out")


def sign_in(walk: Walk) -> None:
    """Sign in by email, including errors along the way."""
    walk.see("/us-signin", "sign-in")
    walk.page.fill("[name=identity]", walk.email)
    before = walk.newest(walk.email)["id"]
    walk.press("Send me a code")
    walk.take("code")
    mail = walk.newest(walk.email, after=before)
    walk.page.fill("[name=passcode]", "00000000")
    walk.press("^Sign in")
    walk.take("code-refused")
    walk.elsewhere(walk.link_in(mail), "link-elsewhere")
    walk.elsewhere(f"/dev/inbox/{mail['id']}/html", "mail-sign-in")
    walk.let_in(walk.link_in(mail))
    walk.page.get_by_role("heading", name="Your account").wait_for()
    walk.take("signed-in")
    walk.elsewhere(walk.link_in(mail), "link-used")
    walk.deny(re.search(r"/not-me/\S+", mail["text"])[0])  # type: ignore[index]
    walk.see("/nothing-here", "error")


PARTS = (
    open_account, use_apps, set_up, recover, addresses, add_passkey, ask_for_two, prove_again, sign_in,
)  # fmt: skip


def take_all(url: str) -> None:
    """Take all screenshots of the service at ``url``. Errors from Playwright are passed on."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for number, (device, scheme) in enumerate(product(WIDTHS, SCHEMES)):
            walk = Walk(browser, url, device, scheme, number)
            for part in PARTS:
                part(walk)
            walk.page.context.close()
        browser.close()


def publish() -> list[str]:
    """Copy the pictures that the documentation shows; return those too large for the repository, with their size."""
    SHOWN.mkdir(parents=True, exist_ok=True)
    too_large = []
    for name, shown in PUBLISHED.items():
        picture = shutil.copyfile(ALL / f"{name}.png", SHOWN / f"{shown}.png")
        if picture.stat().st_size > LARGEST:
            too_large.append(f"{shown}.png ({picture.stat().st_size // 1024} KiB)")
    return too_large


def main() -> int:
    """Take the screenshots; return the exit status."""
    if CHROMIUM is None:
        sys.stderr.write("Chromium is not installed. Install it, or name it: LATCHKEY_TEST_CHROMIUM=/path\n")
        return 1
    shutil.rmtree(ALL, ignore_errors=True)
    ALL.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="latchkey-") as folder:
        environment = {
            "LATCHKEY_ENVIRONMENT": "development",
            "LATCHKEY_DATABASE_URL": f"sqlite:///{folder}/latchkey.db",
            "LATCHKEY_SECRET_KEYS": pyotp.random_hex(64),
            "LATCHKEY_CLIENTS_FILE": write_clients(Path(folder)),
            "LATCHKEY_LIMITS": "off",
            "LATCHKEY_MAIL_RESEND_WAIT": "0",
        }
        port = free_port()
        environment["LATCHKEY_PUBLIC_URL"] = f"http://localhost:{port}"  # no passkeys for IP addresses
        server = Server(environment, Path(folder) / "server.log", port=port, workers=1, name="localhost")
        try:
            take_all(server.start().url)
        finally:
            server.kill()
    too_large = publish()
    sys.stdout.write(f"{len(list(ALL.iterdir()))} pictures are in {ALL.relative_to(ROOT)}.\n")
    if too_large:
        sys.stderr.write(f"Larger than {LARGEST // 1024} KiB: {', '.join(too_large)}\n")
    return 1 if too_large else 0


if __name__ == "__main__":
    raise SystemExit(main())
