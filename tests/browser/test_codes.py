"""The page for entering a code."""

from __future__ import annotations

import pytest

SENT = "SELECT count(*) FROM message WHERE \"to\" = '{}' AND kind = 'sign_in'"


@pytest.fixture
def ada(people, email):
    """Someone with an account."""
    return people.open(email=email)


@pytest.fixture
def sent(shared_database):
    """Counts the sign-in emails queued for an address."""
    return lambda email: shared_database.query(SENT.format(email))[0][0]


def halves(code):
    """Return a code as the email shows it."""
    return f"{code[:4]} {code[4:]}"


def test_code_can_be_pasted_with_its_space(page, ada, ask_for_code, mailbox):
    ask_for_code(page, ada.email)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    code = mailbox.newest(ada.email).code
    page.evaluate("text => navigator.clipboard.writeText(text)", halves(code))
    page.get_by_label("Your code").press("ControlOrMeta+v")
    page.get_by_role("heading", name="Your account").wait_for()


def test_code_field_has_numeric_keyboard_one_time_code_autofill_and_focus(page, ada, ask_for_code):
    ask_for_code(page, ada.email)
    field = page.get_by_label("Your code")
    assert field.get_attribute("autocomplete") == "one-time-code"
    assert field.get_attribute("inputmode") == "numeric"
    assert field.evaluate("field => field === document.activeElement")


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_code_page_does_not_reveal_whether_the_account_exists(page, people, email, ask_for_code, known):
    if known:
        people.open(email=email)
    ask_for_code(page, email)
    assert page.locator(".lead").inner_text() == (
        f"We're sending a code of 8 digits to {email}. "
        "Enter it here to sign in, or to create your account if you're new."
    )


def test_resend_button_is_disabled_during_a_countdown(page, ada, ask_for_code):
    page.clock.install()
    ask_for_code(page, ada.email)
    again = page.get_by_role("button", name="Send it again")
    assert again.is_disabled()
    before = page.locator("[data-resend-left]").inner_text(), page.locator("[data-clock-left]").inner_text()
    page.clock.fast_forward(5_000)
    after = page.locator("[data-resend-left]").inner_text(), page.locator("[data-clock-left]").inner_text()
    assert (before[0] > after[0], before[1] > after[1]) == (True, True)
    page.clock.fast_forward(30_000)
    assert again.is_enabled()
    assert page.locator("[data-resend-wait]").is_hidden()
    page.clock.fast_forward(600_000)
    assert page.locator("[data-clock-over]").is_visible()


def test_resend_sends_the_same_code(page, ada, ask_for_code, mailbox, shared_database):
    page.clock.install()
    ask_for_code(page, ada.email)
    first = mailbox.newest(ada.email)
    shared_database.query("UPDATE challenge SET last_sent_at = datetime(last_sent_at, '-31 seconds')")
    page.clock.fast_forward(31_000)
    page.get_by_role("button", name="Send it again").click()
    assert mailbox.newest(ada.email, after=first).code == first.code


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_double_click_sends_one_email(new_browser, ada, mailbox, sent, script):
    page = new_browser(java_script_enabled=script)
    page.goto("/us-signin")
    page.get_by_label("Email, phone or username").fill(ada.email)
    page.get_by_role("button", name="Send me a code").dblclick(no_wait_after=True)
    page.get_by_label("Your code").wait_for()
    assert mailbox.newest(ada.email).code
    assert sent(ada.email) == 1


def test_resend_too_soon_without_javascript_sends_no_email(new_browser, ada, ask_for_code, sent):
    page = new_browser(java_script_enabled=False)
    ask_for_code(page, ada.email)
    page.get_by_role("button", name="Send it again").click()
    page.get_by_label("Your code").wait_for()
    assert sent(ada.email) == 1


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_enter_in_authenticator_code_field_signs_in(new_browser, people, email, sent, script):
    ada = people.open(email=email, methods=["email", "authenticator"])
    page = new_browser(java_script_enabled=script)
    page.goto("/us-signin")
    page.get_by_label("Email, phone or username").fill(email)
    page.get_by_text("Use an authenticator app").click()
    page.get_by_label("Code from your app").fill(ada.app_code())
    page.get_by_label("Code from your app").press("Enter")
    page.get_by_role("heading", name="Your account").wait_for()
    assert sent(email) == 0


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_enter_after_a_phone_number_sends_an_sms_code(new_browser, people, email, phone, script):
    people.open(email=email, phone=phone)
    page = new_browser(java_script_enabled=script)
    page.goto("/us-signin")
    page.get_by_label("Email, phone or username").fill(f"\u202d{phone}\u202c")
    page.get_by_label("Email, phone or username").press("Enter")
    page.get_by_role("heading", name="Check your phone").wait_for()
    page.get_by_role("link", name="Start over").click()
    page.get_by_label("Email, phone or username").fill(email)
    page.get_by_label("Email, phone or username").press("Enter")
    page.get_by_role("heading", name="Check your email").wait_for()
