"""Every page, in both color schemes and at three widths: axe-core finds no faults, and nothing overflows, also right to
left and with large text; the title of a page with an error says so.

In the second scheme, axe-core checks only colors: the style sheets change nothing else (another test checks that).
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest

from app.extensions import db
from app.oidc import consents
from app.oidc.models import OAuthClient
from tests.browser.apps import add_app
from tests.browser.overflow import ZOOMED, overflowing
from tests.browser.passkeys import VirtualAuthenticator
from tests.browsing import OF_COLOUR, serious_faults
from tests.devices import Device, tv
from tests.oidc import register

WIDTHS = (1280, 390)
SCHEMES = {"light": None, "dark": OF_COLOUR}
CROWDED = """
    const looked = ".threshold-inner > *, .card-head > *, .apps > li, .scopes > li, .choices > *";
    const parts = document.querySelectorAll(looked);
    const boxes = [...parts].filter((part) => part.checkVisibility() && getComputedStyle(part).position !== "absolute");
    return boxes.flatMap((part) => {
      const next = part.nextElementSibling;
      if (!next || !boxes.includes(next) || part.matches(".label")) return [];
      const [above, below] = [part.getBoundingClientRect(), next.getBoundingClientRect()];
      const gap = below.top - above.bottom;
      return below.left < above.right && gap < 8 ? [`${part.className}, ${next.className}: ${gap} px`] : [];
    });
"""
"""Elements less than 8 px above the next one, except labels."""
SET_DIRECTION = "dir => { document.documentElement.dir = dir; }"
UNTITLED = """
  const wrong = document.querySelector(".field-error, #form-errors, .notice[role=alert]");
  return wrong && !document.title.startsWith("Error: ") ? [`its title hides "${wrong.textContent.trim()}"`] : [];
"""


class Look:
    """Checks pages and collects their faults."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.faults: list[str] = []

    def at(self, name: str, path: str = "", page: Any = None) -> None:
        """Check the current page, or go to ``path`` first."""
        page = page or self.page
        if path:
            page.goto(path)
        page.locator("h1").wait_for()
        found = page.evaluate(f"(() => {{{UNTITLED}}})()") + overflowing(page, ZOOMED, "200%")
        for width in (ZOOMED, *WIDTHS):
            page.evaluate(SET_DIRECTION, "rtl")
            found += overflowing(page, width)
            page.evaluate(SET_DIRECTION, "ltr")
            found += overflowing(page, width)
            crowded = page.evaluate(f"(() => {{{CROWDED}}})()")
            self.faults += [f"{name}, {width} px, crowded: {fault}" for fault in crowded]
            for scheme, rules in SCHEMES.items() if width in WIDTHS else ():
                page.emulate_media(color_scheme=scheme)
                self.faults += [f"{name}, {scheme}, {width} px: {fault}" for fault in serious_faults(page, rules)]
        self.faults += [f"{name}: {fault}" for fault in found]

    def press(self, name: str, exact: bool = True) -> None:
        """Press a button and wait for the next page."""
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=name, exact=exact).first.click()

    def fill(self, label: str, text: str) -> None:
        """Fill a field."""
        field = self.page.get_by_label(label)
        field.evaluate("control => control.removeAttribute('data-submit-at')")  # or it would submit the form
        field.fill(text)


@pytest.fixture
def look(new_browser):
    """Checks pages, with transitions turned off."""
    return Look(new_browser(reduced_motion="reduce"))


@pytest.fixture
def elsewhere(new_browser):
    """A page in another browser."""
    return new_browser(reduced_motion="reduce")


def test_signed_out_pages_have_no_faults(look, elsewhere, email, mailbox):
    look.at("sign in", "/")
    look.at("register", "/register")
    look.fill("Email", "ada@example")
    look.press("Send me a code")
    look.at("register, refused")
    look.fill("Email", email)
    look.press("Send me a code")
    look.at("confirm")
    look.at("confirm elsewhere", mailbox.newest(email).link, elsewhere)
    look.at("confirm, asking for the address", "/confirm", elsewhere)
    look.at("nothing at this address", "/nothing-here")
    assert look.faults == []


def test_sign_in_pages_have_no_faults(look, elsewhere, people, email, mailbox):
    people.open(email=email, methods=["email", "authenticator"])
    look.at("sign in", "/us-signin")
    look.page.get_by_text("Use an authenticator app").click()
    look.at("sign in, by app")
    look.fill("Email, phone or username", email)
    look.press("Send me a code")
    look.page.get_by_text("Didn't get the code?").click()
    look.at("code")
    look.fill("Your code", "00000000")
    look.press("Sign in")
    look.at("code, refused")
    look.at("link elsewhere", mailbox.newest(email).link, elsewhere)
    assert look.faults == []


def test_method_setup_pages_have_no_faults(look, people, email, phone, sign_in):
    sign_in(people.open(email=email), look.page)
    look.at("set up", "/us-setup")
    look.press("Sign in with it alone", exact=False)
    look.page.get_by_text("Can't scan it?").click()
    look.at("authenticator")
    look.fill("Code from your app", "000000")
    look.press("Confirm and add")
    look.at("authenticator, refused")
    look.page.goto("/us-setup")
    look.fill("Phone number", "12")
    look.press("Text me a code", exact=False)
    look.at("phone, refused")
    look.fill("Phone number", phone)
    look.press("Text me a code", exact=False)
    look.at("phone")
    assert look.faults == []


def test_authenticator_app_pages_have_no_faults(look, people, email, sign_in):
    sign_in(people.open(email=email, methods=["email", "authenticator"]), look.page)
    look.page.goto("/us-setup")
    look.press("Add another app")
    look.at("another app")
    look.fill("Code from your app", "000000")
    look.page.get_by_label("Name", exact=True).fill("Authenticator app")
    look.press("Confirm and add")
    look.at("another app, name refused")
    for number in range(2, 6):
        add_app(look.page, f"{number} " + "W" * 60)
    look.page.goto("/us-setup")
    look.page.get_by_text("Change").first.click()
    look.at("five apps")
    assert look.faults == []


def test_oauth_app_pages_have_no_faults(look, people, email, sign_in, shared_app):
    long = "W" * 80
    uri = f"https://{'a-long-name.' * 8}example.com/callback"
    about = {"policy_url": "https://app.example.com/privacy", "terms_url": "https://app.example.com/terms"}
    rp = register(shared_app, f"looks-{email}", name=long, consent="ask", redirect_uris=[uri], home_url=uri, **about)
    closed = register(shared_app, f"closed-{email}", name=long, groups=["nobody"])
    strict = register(shared_app, f"strict-{email}", name=long, level="aal2")
    wide = "openid profile email phone groups offline_access"
    look.page.goto(rp.request(login_hint=email))
    look.at("sign in, for an app")
    look.page.get_by_role("link", name="Create an account").click()
    look.at("register, for an app")
    ada = people.open(email=email)
    sign_in(ada, look.page)
    look.at("apps, one to open", "/apps")
    look.at("consent", rp.request())
    with shared_app.app_context():
        consents.allow(ada.id, rp.id, ["openid", "email"])
        consents.allow(ada.id, "album", ["openid"])
        db.session.commit()
    look.at("consent, for more", rp.request(scope=wide, prompt="consent"))
    look.at("choosing an account", rp.request(prompt="select_account"))
    look.at("no access", closed.request())
    look.at("a second factor", strict.request())
    look.at("apps", "/apps")
    mark_as_self_registered(shared_app, rp.id)
    look.at("consent, for an app that added itself", rp.request(scope=wide))
    assert look.page.locator(".notice").count() == 1
    look.at("confirm it's you, for an app", f"/us-verify?next={quote(path_of_request(look.page))}")
    assert look.faults == []


def test_device_authorization_pages_have_no_faults(look, people, email, sign_in, shared_app):
    uri = f"https://{'a-long-name.' * 8}example.com/"
    rp = tv(shared_app, f"tv-{email}", name="W" * 80, consent="ask", home_url=uri)
    wide = "openid profile email phone groups offline_access"
    sign_in(people.open(email=email), look.page)
    look.at("device", "/device")
    look.fill("Code on your device", "BCDF-GHJK")
    look.press("Continue")
    look.at("device, wrong code")
    for button in ("Allow", "Don't allow"):
        code = Device(rp, scope=wide).user_code
        look.at("device, with its code", f"/device?user_code={code}")
        look.press("Continue")
        look.at("device, asking")
        look.press(button)
        look.at("device, decided")
    mark_as_self_registered(shared_app, rp.id)
    look.page.goto(f"/device?user_code={Device(rp).user_code}")
    look.press("Continue")
    look.at("device, for an app that added itself")
    assert look.faults == []


def mark_as_self_registered(app: Any, client_id: str) -> None:
    """Mark an app as one that registered itself."""
    with app.app_context():
        db.session.get(OAuthClient, client_id).source = "registration"
        db.session.commit()


def path_of_request(page: Any) -> str:
    """Return the path at which a page's authorization request continues."""
    return f"/oauth/continue?request={page.locator('main [name=request]').first.get_attribute('value')}"


def test_passkey_pages_have_no_faults(look, people, email, sign_in):
    sign_in(people.open(email=email), look.page)
    device = VirtualAuthenticator(look.page)
    look.at("passkeys, none", "/wan-register")
    look.press("Add a passkey")
    look.at("recovery codes, after the first passkey")
    look.page.goto("/wan-register")
    look.page.get_by_text("Change").first.click()
    look.at("passkeys")
    look.page.goto("/us-setup")
    look.at("set up, with a passkey")
    device.verify(False)
    look.page.context.clear_cookies()
    look.at("a passkey to sign in", "/wan-signin")
    look.page.get_by_role("button", name="Use my passkey").click()
    look.page.get_by_text("Try again.").wait_for()
    look.at("a passkey, turned down")
    assert look.faults == []


def test_account_pages_have_no_faults(look, people, email, sign_in):
    sign_in(people.open(email=email, methods=["email", "authenticator"]), look.page)
    look.at("account", "/")
    look.at("devices", "/sessions")
    look.at("activity", "/activity")
    look.at("activity, security warnings", "/activity?show=warnings")
    look.at("my data", "/my-data")
    look.press("Request an export")
    look.page.evaluate("for (let each = 1; each < 99; each += 1) clearInterval(each)")  # no change during checks
    look.at("my data, asked for")
    look.page.locator("summary").get_by_text("Delete my account").click()
    look.at("my data, deleting")
    look.at("programs", "/tokens")
    look.fill("Name", "Backup on the NAS")
    look.page.get_by_label("See your account").uncheck()
    look.press("Create token")
    look.at("programs, refused")
    look.press("Create token")
    look.at("programs, with the new token")
    look.page.goto("/us-setup")
    look.page.get_by_text("Remove", exact=False).first.click()
    look.at("set up, removing")
    look.at("verify", "/us-verify")
    look.page.get_by_text("I don't have it with me").click()
    look.at("verify, not able to")
    look.press("Email me a code")
    look.at("verify, code")
    look.page.goto("/")
    look.page.evaluate("document.querySelectorAll('[name=csrf_token]').forEach(field => field.remove())")
    look.press("Sign out of this browser")
    look.at("a form that had lost its protection")
    assert look.faults == []


def test_recovery_code_pages_have_no_faults(look, people, email, sign_in):
    sign_in(people.open(email=email), look.page)
    look.at("recovery codes, none", "/mf-recovery-codes")
    look.press("Create recovery codes")
    look.at("recovery codes, new")
    look.page.goto("/mf-recovery-codes")
    look.page.get_by_text("Create new codes", exact=True).click()
    look.at("recovery codes, left")
    look.page.goto("/us-verify")
    look.page.get_by_text("Use a recovery code").click()
    look.at("verify, recovery code")
    assert look.faults == []


def test_two_step_setup_pages_have_no_faults(look, people, email, phone, sign_in):
    sign_in(people.open(email=email), look.page)
    look.at("second step, off", "/tf-setup")
    look.fill("Phone number", "12")
    look.press("Text me a code", exact=False)
    look.at("second step, phone refused")
    look.press("Set up", exact=False)
    look.at("second step, authenticator")
    look.fill("Code from your app", "000000")
    look.press("Confirm", exact=False)
    look.at("second step, authenticator refused")
    bob = people.open(email=f"bob{email}", methods=["email", "authenticator"], second="authenticator")
    sign_in(bob, look.page)
    look.at("second step, on", "/tf-setup")
    look.page.get_by_text("Turn off", exact=True).click()
    look.at("second step, switching off")
    look.at("set up, with a second step", "/us-setup")
    assert look.faults == []


def test_second_step_pages_have_no_faults(look, people, email, phone, mailbox):
    people.open(email=email, phone=phone, methods=["email", "sms", "authenticator"], second="sms,authenticator")
    look.page.goto("/us-signin")
    look.fill("Email, phone or username", email)
    look.press("Send me a code")
    look.fill("Your code", mailbox.newest(email).code)
    look.press("Sign in")
    look.at("second step, choosing")
    look.press("Use my authenticator app")
    look.page.get_by_text("I don't have it with me").click()
    look.at("second step")
    look.fill("Code from your app", "000000")
    look.press("Sign in")
    look.at("second step, refused")
    look.page.goto("/tf-select")
    look.press("Text me a code")
    look.at("second step, by text")
    look.at("without two-step verification", "/tf-rescue")
    look.at("recovery code", "/mf-recovery")
    look.fill("Recovery code", "AAAA-BBBB-CCCC-DDDD")
    look.press("Sign in")
    look.at("recovery code, refused")
    assert look.faults == []


def test_account_deletion_pages_have_no_faults(look, elsewhere, people, email, sign_in, mailbox):
    sign_in(people.open(email=email), look.page)
    look.page.goto("/my-data")
    look.page.locator("summary").get_by_text("Delete my account").click()
    look.page.get_by_label("Delete my account and everything").check()
    look.press("Delete my account")
    look.at("closed")
    letter = mailbox.newest(email, "will be deleted")
    look.at("keep it?", re.search(r"http\S+/my-data/undo/\S+", letter.text)[0], elsewhere)
    elsewhere.get_by_label("I want to keep my account").check()
    elsewhere.get_by_role("button", name="Keep my account").click()
    elsewhere.get_by_role("heading", name="Your account stays open").wait_for()
    look.at("kept", page=elsewhere)
    assert look.faults == []


def test_account_recovery_pages_have_no_faults(look, elsewhere, people, email, mailbox, sign_in):
    bob = people.open(email=email, methods=["email", "authenticator"], second="authenticator")
    look.at("recover", "/recover")
    look.fill("Email, phone or username", email)
    look.press("Email me a code")
    look.at("recover, code")
    look.fill("Your code", mailbox.newest(email).code)
    look.press("Continue")
    look.at("recover, before")
    look.press("Start the recovery")
    look.at("recover, waiting")
    sign_in(bob, elsewhere)
    look.at("account, being recovered", "/", elsewhere)
    letter = mailbox.newest(email, "being recovered")
    look.at("cancel?", re.search(r"http\S+/recover/cancel/\S+", letter.text)[0])
    look.page.get_by_label("I can still sign in").check()
    look.press("Cancel the recovery")
    look.at("cancelled")
    assert look.faults == []


def test_development_mailbox_pages_have_no_faults(look, email, mailbox):
    look.page.goto("/register")
    look.fill("Email", email)
    look.press("Send me a code")
    look.at("inbox", "/dev/inbox")
    look.at("message", mailbox.newest(email).page)
    assert look.faults == []


def test_address_pages_have_no_faults(look, elsewhere, people, email, mailbox, sign_in):
    sign_in(people.open(email=email, username="ada", methods=["email", "authenticator"]), look.page)
    look.at("addresses", "/identities")
    look.fill("Add another email", "ada@example")
    look.press("Send a code")
    look.at("addresses, refused")
    look.page.get_by_text("Remove", exact=False).first.click()
    look.at("addresses, removing")
    look.fill("Add another email", f"more-{email}")
    look.press("Send a code")
    look.at("one more address")
    look.fill("Your code", "00000000")
    look.press("Add email")
    look.at("one more address, refused")
    look.at("link to an address, elsewhere", mailbox.newest(f"more-{email}").link, elsewhere)
    look.at("change of address", "/change-email")
    assert look.faults == []


def test_undo_email_change_pages_have_no_faults(look, elsewhere, people, email, mailbox, sign_in):
    ada = people.open(email=email)
    people.give(ada, "email", f"more-{email}")
    sign_in(ada, look.page)
    look.page.goto("/identities")
    look.press("Make primary", exact=False)
    look.at("undo", mailbox.newest(email, "was changed").link, elsewhere)
    elsewhere.get_by_role("button", name="Undo and sign out everywhere").click()
    look.at("undo, unsure", page=elsewhere)
    elsewhere.get_by_label("Yes, undo").check()
    elsewhere.get_by_role("button", name="Undo and sign out everywhere").click()
    look.at("undone", page=elsewhere)
    assert look.faults == []
